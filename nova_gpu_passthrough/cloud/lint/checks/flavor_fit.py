# SPDX-License-Identifier: Apache-2.0
"""Flavors with GPUs that no host, or not every host, can boot: devices, NUMA nodes, size."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from nova_gpu_passthrough.cloud.lint.check import lint_check
from nova_gpu_passthrough.cloud.lint.checked_flavors import CheckedFlavor, checked_flavors
from nova_gpu_passthrough.cloud.lint.facts import Facts
from nova_gpu_passthrough.fleet.aliases import Alias
from nova_gpu_passthrough.fleet.desired_state import Flavor
from nova_gpu_passthrough.fleet.flavors import feasibility, shares
from nova_gpu_passthrough.inventory.findings import Finding, Severity
from nova_gpu_passthrough.inventory.shell_fix import comment, script
from nova_gpu_passthrough.nova_rules import guest_topology
from nova_gpu_passthrough.nova_rules.alias_string import EXTRA_SPEC

_POLICY = "hw:pci_numa_affinity_policy"


class _MissingNodes(NamedTuple):
    """An alias whose NUMA policy refuses too many devices, because their NUMA node is unknown."""

    alias: Alias
    policy: str
    #: Hosts with enough devices, but too few with a NUMA node.
    hosts: list[str]
    #: Whether another host has enough devices with a NUMA node.
    other_hosts: bool


@lint_check(drift=False)
def check(facts: Facts) -> Iterator[Finding]:
    """Check flavors that the fleet file requests, then every flavor with GPUs of the fleet."""
    yield from _infeasible(facts)
    for flavor in checked_flavors(facts):
        if flavor.has_gpus(facts):
            missing_nodes = list(_missing_nodes(facts, flavor))
            yield from _numa(facts, flavor, missing_nodes)
            # Nothing is known of an alias outside the fleet.
            if len(flavor.fleet_devices(facts)) == len(flavor.devices):
                numa_blocks = any(not missing.other_hosts for missing in missing_nodes)
                yield from _size(facts, flavor, numa_blocks)


def _infeasible(facts: Facts) -> Iterator[Finding]:
    """Report flavors of the fleet file that were not derived.

    If the file defines no flavors, the derived ones that do fit are enough.
    """
    file = facts.resolved.file
    if not file.flavors and not file.fixed_flavors:
        return
    for refused in facts.flavor_plan.refused:
        yield Finding(
            "fleet.flavor_refused",
            Severity.WARNING,
            f"flavor {refused.name}",
            refused.reason,
            str(file.path),
            "No empty host can boot it, so the flavor is not created.",
            facts.fixes.edit_fleet(
                f"change or remove the rule of flavor {refused.name}; this shows what fits",
                facts.fixes.show_flavors(),
            ),
        )


def _missing_nodes(facts: Facts, flavor: CheckedFlavor) -> Iterator[_MissingNodes]:
    for alias, count in flavor.fleet_devices(facts).items():
        policy = flavor.extra_specs.get(_POLICY) or alias.numa_policy
        if policy not in ("required", "socket"):
            continue
        other_hosts, hosts = False, []
        for host, with_node, without_node in _devices_by_node(facts, alias):
            if with_node >= count:
                other_hosts = True
            elif with_node + without_node >= count:
                hosts.append(host)
        if hosts:
            yield _MissingNodes(alias, policy, hosts, other_hosts)


def _devices_by_node(facts: Facts, alias: Alias) -> Iterator[tuple[str, int, int]]:
    """Yield for each host the number of the alias's devices with and without a NUMA node."""
    for offer in facts.resolved.offers:
        devices = [offered for offered in offer.devices if facts.alias_of(offered) is alias]
        with_node = sum(offered.device.numa_node is not None for offered in devices)
        yield offer.host, with_node, len(devices) - with_node


def _numa(
    facts: Facts, flavor: CheckedFlavor, missing_nodes: list[_MissingNodes]
) -> Iterator[Finding]:
    try:
        topology = guest_topology.from_flavor(flavor.vcpus, flavor.ram_mib, flavor.extra_specs)
    except guest_topology.GuestTopologyError:
        # flavor_extra_specs reports this.
        return
    if not topology.cells:
        yield Finding(
            "flavor.no_numa",
            Severity.WARNING,
            flavor.subject,
            "it requests GPUs, but no NUMA topology",
            flavor.where,
            "NUMATopologyFilter then passes every host, and vCPUs and memory may be on another "
            "node than the GPUs.",
            flavor.set_extra_spec(facts, "hw:numa_nodes", _numa_nodes(facts, flavor)),
        )
        return
    for missing in missing_nodes:
        yield Finding(
            "flavor.numa_unknown",
            Severity.WARNING if missing.other_hosts else Severity.FAILURE,
            flavor.subject,
            f"policy {missing.policy} for alias {missing.alias.name}, but the firmware of "
            f"{', '.join(missing.hosts)} reports no NUMA node for too many of the devices "
            "(numa_node is -1)",
            flavor.where,
            "Nova refuses such devices: "
            + ("those hosts are never used." if missing.other_hosts else "no valid host."),
            script(
                flavor.set_extra_spec(facts, _POLICY, "preferred"),
                comment("Or update the firmware (ACPI _PXM) and audit the hosts again."),
            ),
        )


def _numa_nodes(facts: Facts, flavor: CheckedFlavor) -> int:
    """Return the number of NUMA nodes on which most hosts have the GPUs of the flavor."""
    layouts = [host.layout for host in facts.empty_hosts]
    numbers = [
        shares.cell_count(enough, alias, count, pinned=False)
        for alias, count in flavor.fleet_devices(facts).items()
        if (enough := [layout for layout in layouts if len(layout.gpus(alias)) >= count])
    ]
    return max(numbers, default=1)


def _size(facts: Facts, flavor: CheckedFlavor, numa_blocks: bool) -> Iterator[Finding]:
    too_many = list(_too_many_devices(facts, flavor))
    yield from too_many
    if not too_many and not numa_blocks:
        yield from _no_host(facts, flavor)


def _device_counts(facts: Facts, alias: Alias) -> Mapping[str, int]:
    """Return the number of devices of an alias on each host."""
    return {
        offer.host: sum(facts.alias_of(offered) is alias for offered in offer.devices)
        for offer in facts.resolved.offers
    }


def _too_many_devices(facts: Facts, flavor: CheckedFlavor) -> Iterator[Finding]:
    for alias, count in flavor.fleet_devices(facts).items():
        most = max(_device_counts(facts, alias).values())
        if most < count:
            yield Finding(
                "flavor.too_many_devices",
                Severity.FAILURE,
                flavor.subject,
                f"it requests {count} of alias {alias.name}, but a host has at most {most}",
                flavor.where,
                "No valid host, ever.",
                _fewer_devices(facts, flavor, alias, most),
            )


def _fewer_devices(facts: Facts, flavor: CheckedFlavor, alias: Alias, most: int) -> str:
    """Return how to request no more devices of an alias than a host has."""
    counts = {**flavor.devices, alias.name: most}
    value = ",".join(f"{name}:{count}" for name, count in counts.items() if count)
    if not value:
        return flavor.unset_extra_spec(facts, EXTRA_SPEC)
    return flavor.set_extra_spec(facts, EXTRA_SPEC, value)


def _no_host(facts: Facts, flavor: CheckedFlavor) -> Iterator[Finding]:
    plain = Flavor(flavor.name, flavor.vcpus, flavor.ram_mib, 0, dict(flavor.extra_specs))
    requests = [
        (_device_counts(facts, alias), count)
        for alias, count in flavor.fleet_devices(facts).items()
    ]
    hosts = [
        host
        for host in facts.empty_hosts
        if all(counts[host.layout.host] >= count for counts, count in requests)
    ]
    result = feasibility.check(plain, hosts or facts.empty_hosts, facts.resolved.aliases)
    # flavor_extra_specs reports extra specs that Nova refuses.
    if not result.hosts and not result.invalid:
        yield Finding(
            "flavor.no_host",
            Severity.FAILURE,
            flavor.subject,
            str(result),
            flavor.where,
            "No host can boot it, not even an empty one.",
            script(
                comment("Make it smaller, or change its extra specs; this shows what fits:"),
                facts.fixes.show_flavors(),
            ),
        )
