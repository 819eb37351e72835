# SPDX-License-Identifier: Apache-2.0
"""Whether any host, empty, can boot a flavor that asks for the fleet's GPUs."""

from collections.abc import Iterator, Mapping

from nova_gpu_passthrough.cloud.lint.checks import flavor_numa
from nova_gpu_passthrough.cloud.lint.facts import Facts
from nova_gpu_passthrough.cloud.lint.requests import Asked, flavors
from nova_gpu_passthrough.fleet.aliases import Alias
from nova_gpu_passthrough.fleet.desired import Flavor
from nova_gpu_passthrough.fleet.flavors import feasibility
from nova_gpu_passthrough.inventory.findings import Finding, Severity


def check(facts: Facts) -> Iterator[Finding]:
    """Devices first, then whether they come with CPUs, memory and address space."""
    for flavor in flavors(facts):
        # Of an alias that is not the fleet's nothing is known.
        if not flavor.has_gpus(facts) or len(flavor.known(facts)) != len(flavor.devices):
            continue
        short = list(_too_many(facts, flavor))
        yield from short
        numa = any(not others for *_, others in flavor_numa.blocked(facts, flavor))
        if not short and not numa:
            yield from _nowhere(facts, flavor)


def _devices(facts: Facts, alias: Alias) -> Mapping[str, int]:
    """How many devices of an alias each host has."""
    return {
        offer.host: sum(facts.alias_of(one) is alias for one in offer.devices)
        for offer in facts.resolved.offers
    }


def _too_many(facts: Facts, flavor: Asked) -> Iterator[Finding]:
    for alias, number in flavor.known(facts).items():
        most = max(_devices(facts, alias).values())
        if most < number:
            yield Finding(
                "flavor.too_many_devices",
                Severity.FAILURE,
                flavor.subject,
                f"it asks for {number} of alias {alias.name}, the most that a host has is {most}",
                flavor.where,
                "No valid host, ever.",
                "Ask for fewer.",
            )


def _nowhere(facts: Facts, flavor: Asked) -> Iterator[Finding]:
    asked = Flavor(flavor.name, flavor.vcpus, flavor.ram_mib, 0, dict(flavor.extra_specs))
    wanted = [(_devices(facts, alias), number) for alias, number in flavor.known(facts).items()]
    hosts = [
        host
        for host in facts.empty_hosts
        if all(counts[host.layout.host] >= number for counts, number in wanted)
    ]
    answer = feasibility.ask(asked, hosts or facts.empty_hosts, facts.resolved.aliases)
    # What Nova itself refuses, checks of the extra specs tell.
    if not answer.hosts and not answer.invalid:
        yield Finding(
            "flavor.no_host",
            Severity.FAILURE,
            flavor.subject,
            str(answer),
            flavor.where,
            "No host boots it as it should, not even an empty one.",
            "Make it smaller, or change its extra specs; nova-gpu flavor generate reckons what "
            "fits.",
        )
