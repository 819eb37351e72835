# SPDX-License-Identifier: Apache-2.0
"""Whether a flavor's GPUs, vCPUs and memory come together on NUMA nodes."""

from collections.abc import Iterator

from nova_gpu_passthrough.cloud.lint.facts import Facts
from nova_gpu_passthrough.cloud.lint.requests import Asked, flavors
from nova_gpu_passthrough.fleet.aliases import Alias
from nova_gpu_passthrough.inventory.findings import Finding, Severity
from nova_gpu_passthrough.nova_rules import guest_topology

_POLICY = "hw:pci_numa_affinity_policy"


def check(facts: Facts) -> Iterator[Finding]:
    """Every flavor that asks for the fleet's GPUs."""
    for flavor in flavors(facts):
        if not flavor.has_gpus(facts):
            continue
        try:
            topology = guest_topology.read(flavor.vcpus, flavor.ram_mib, flavor.extra_specs).cells
        except guest_topology.GuestError:
            # A check of its own tells of it.
            continue
        if not topology:
            yield Finding(
                "flavor.no_numa",
                Severity.WARNING,
                flavor.subject,
                "it asks for GPUs, but for no NUMA topology",
                flavor.where,
                "NUMATopologyFilter then passes every host, and vCPUs and memory may be on another "
                "node than the GPUs.",
                "Set hw:numa_nodes, hw:cpu_policy=dedicated or hw:mem_page_size, and "
                f"{_POLICY}; gpu:numa=required at least keeps the GPUs together.",
            )
        else:
            yield from _unknown(facts, flavor)


def blocked(facts: Facts, flavor: Asked) -> Iterator[tuple[Alias, str, list[str], bool]]:
    """Aliases of whose devices a NUMA policy refuses too many, since their node is not told.

    Each with the policy, the hosts, and whether any other host remains.
    """
    for alias, number in flavor.known(facts).items():
        policy = flavor.extra_specs.get(_POLICY) or alias.numa_policy
        if policy not in ("required", "socket"):
            continue
        others, hosts = False, []
        for host, told, untold in _devices(facts, alias):
            if told >= number:
                others = True
            elif told + untold >= number:
                hosts.append(host)
        if hosts:
            yield alias, policy, hosts, others


def _unknown(facts: Facts, flavor: Asked) -> Iterator[Finding]:
    for alias, policy, hosts, others in blocked(facts, flavor):
        yield Finding(
            "flavor.numa_unknown",
            Severity.WARNING if others else Severity.FAILURE,
            flavor.subject,
            f"policy {policy} for alias {alias.name}, but the firmware of {', '.join(hosts)} tells "
            "no NUMA node of too many of the devices (numa_node is -1)",
            flavor.where,
            "Nova refuses such devices: "
            + ("those hosts are never used." if others else "no valid host."),
            f"Update the firmware (ACPI _PXM) and audit the hosts anew, or set {_POLICY} to "
            "legacy or preferred.",
        )


def _devices(facts: Facts, alias: Alias) -> Iterator[tuple[str, int, int]]:
    """Of each host, how many of an alias's devices have a NUMA node, and how many have none."""
    for offer in facts.resolved.offers:
        mine = [offered for offered in offer.devices if facts.alias_of(offered) is alias]
        told = sum(offered.device.numa_node is not None for offered in mine)
        yield offer.host, told, len(mine) - told
