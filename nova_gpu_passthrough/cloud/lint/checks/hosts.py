# SPDX-License-Identifier: Apache-2.0
"""The fleet's hosts in the cloud: there, up, and with what the fleet file makes of them."""

from collections.abc import Collection, Iterator

from nova_gpu_passthrough.cloud.lint import facts as fix
from nova_gpu_passthrough.cloud.lint.facts import Facts
from nova_gpu_passthrough.cloud.view.model import Host
from nova_gpu_passthrough.files import cpu_list
from nova_gpu_passthrough.fleet.flavors import groups
from nova_gpu_passthrough.inventory.findings import Finding, Severity

_NOVA = "Nova, compute services"
_ROOT = "Placement, provider of the host"


def check(facts: Facts) -> Iterator[Finding]:
    """Every host that is in the fleet or in the cloud."""
    if facts.cloud is None:
        return
    hosts = {host.name: host for host in facts.cloud.view.hosts}
    known = facts.resolved
    wanted = groups.traits(known.file, known.offers, known.aliases, known.groups)
    for name in known.inventories:
        host = hosts.get(name)
        if host is None or host.provider is None or not host.known:
            missing = "Placement" if host is not None and host.known else "Nova"
            yield Finding(
                "host.missing",
                Severity.FAILURE,
                f"host {name}",
                f"the fleet file has it, {missing} has not",
                _ROOT if missing == "Placement" else _NOVA,
                "No server is placed there.",
                "Start nova-compute there under this name (and map it to a cell: nova-manage "
                "cell_v2 discover_hosts), or take the inventory out of the fleet file.",
            )
            continue
        yield from _service(host)
        if name in facts.offers:
            yield from _traits(host, wanted.get(name, ()))
            yield from _resources(facts, host)
    for name in sorted(set(hosts) - set(known.inventories)):
        if hosts[name].gpus:
            yield Finding(
                "host.not_in_fleet",
                Severity.WARNING,
                f"host {name}",
                f"it has {len(hosts[name].gpus)} GPUs and is not in the fleet file",
                _ROOT,
                "Nothing here looks after its aggregates, flavors and devices.",
                "Audit it (nova-gpu host audit --write) and add the inventory to a group.",
            )


def _service(host: Host) -> Iterator[Finding]:
    if not host.up:
        yield Finding(
            "host.down",
            Severity.WARNING,
            f"host {host.name}",
            "nova-compute is down",
            _NOVA,
            "No server is placed there, and those on it cannot be managed.",
            "Start nova-compute; its log tells why it stopped.",
        )
    if not host.enabled:
        yield Finding(
            "host.disabled",
            Severity.WARNING,
            f"host {host.name}",
            f"disabled: {host.disabled_reason or 'no reason given'}",
            _NOVA,
            "No server is placed there.",
            "openstack compute service set --enable HOST nova-compute, when it may be used.",
        )


def _traits(host: Host, wanted: Collection[str]) -> Iterator[Finding]:
    """Traits of the host's own provider, by which flavors are kept to groups of hosts."""
    missing = sorted(set(wanted) - host.traits)
    if missing:
        yield Finding(
            "host.traits",
            Severity.FAILURE,
            f"host {host.name}",
            f"it lacks {', '.join(missing)}",
            _ROOT,
            "Flavors that are kept to its group do not find it.",
            "Copy etc/nova/provider_config from what nova-gpu config generate --fleet FILE --write "
            "DIR writes for it into place and restart nova-compute.",
        )


def _resources(facts: Facts, host: Host) -> Iterator[Finding]:
    memory = host.resources.get("MEMORY_MB")
    if memory is not None and memory.allocation_ratio > 1:
        yield Finding(
            "host.overcommit",
            Severity.FAILURE,
            f"host {host.name}",
            f"the allocation ratio of MEMORY_MB is {memory.allocation_ratio:g}",
            _ROOT,
            "VFIO pins all memory of a server with a GPU: the host runs out of memory, and its "
            "kernel kills servers.",
            "Set ram_allocation_ratio = 1.0 in nova-compute's configuration and restart it.",
        )
    options = facts.compute_options[host.name]
    reserved = options.get(("DEFAULT", "reserved_host_memory_mb"))
    if reserved and memory is not None and memory.reserved != int(reserved.values[0]):
        yield Finding(
            "host.reserved_memory",
            Severity.WARNING,
            f"host {host.name}",
            f"{memory.reserved} MiB are reserved, the fleet file makes {reserved.values[0]}",
            _ROOT,
            "Flavors and capacity are reckoned with the fleet file's.",
            fix.generate("nova-compute"),
        )
    for resource_class, name in (("PCPU", "cpu_dedicated_set"), ("VCPU", "cpu_shared_set")):
        option = options.get(("compute", name))
        found = host.resources.get(resource_class)
        wanted = len(cpu_list.parse(option.values[0])) if option else 0
        total = found.total if found else 0
        # Without dedicated CPUs all are VCPU.
        if option and total != wanted:
            yield Finding(
                "host.cpus",
                Severity.WARNING,
                f"host {host.name}",
                f"it has {total} {resource_class}, the fleet file's {name} makes {wanted}",
                _ROOT,
                "Flavors and capacity are reckoned with the fleet file's.",
                fix.generate("nova-compute"),
            )
