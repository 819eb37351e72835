# SPDX-License-Identifier: Apache-2.0
"""The fleet's hosts in the cloud: whether they exist, are up, and match the fleet file."""

from collections.abc import Collection, Iterator

from nova_gpu_passthrough.cloud.lint.check import lint_check
from nova_gpu_passthrough.cloud.lint.facts import Facts
from nova_gpu_passthrough.cloud.view.model import CloudHost
from nova_gpu_passthrough.files import cpu_list
from nova_gpu_passthrough.fleet.flavors import group_traits
from nova_gpu_passthrough.inventory.findings import Finding, Severity
from nova_gpu_passthrough.inventory.shell_fix import command, comment, script

_NOVA = "Nova, compute services"
_ROOT = "Placement, provider of the host"


@lint_check()
def check(facts: Facts) -> Iterator[Finding]:
    """Check every host that is in the fleet or in the cloud."""
    if facts.cloud is None:
        return
    hosts = {host.name: host for host in facts.cloud.view.hosts}
    resolved = facts.resolved
    expected = group_traits.traits_by_host(
        resolved.file, resolved.offers, resolved.aliases, resolved.groups
    )
    for name in resolved.inventories:
        host = hosts.get(name)
        if host is None or host.provider is None or not host.known:
            missing = "Placement" if host is not None and host.known else "Nova"
            yield Finding(
                "host.missing",
                Severity.FAILURE,
                f"host {name}",
                f"it is in the fleet file, but not in {missing}",
                _ROOT if missing == "Placement" else _NOVA,
                "No server is placed there.",
                script(
                    facts.fixes.restart_compute(name),
                    comment(f"With host = {name} in its nova.conf; then, where nova-manage is:"),
                    command("nova-manage", "cell_v2", "discover_hosts", "--verbose"),
                    comment(f"If the host is gone, remove its inventory from {facts.fixes.fleet}."),
                ),
            )
            continue
        yield from _service(facts, host)
        if name in facts.offers:
            yield from _traits(facts, host, expected.get(name, ()))
            yield from _resources(facts, host)
    for name in sorted(set(hosts) - set(resolved.inventories)):
        if hosts[name].gpus:
            yield Finding(
                "host.not_in_fleet",
                Severity.WARNING,
                f"host {name}",
                f"it has {len(hosts[name].gpus)} GPUs, but is not in the fleet file",
                _ROOT,
                "nova-gpu does not manage its aggregates, flavors and devices.",
                script(
                    facts.fixes.audit(name),
                    facts.fixes.edit_fleet(f"add {name}.yaml to the inventories of a group"),
                ),
            )


def _service(facts: Facts, host: CloudHost) -> Iterator[Finding]:
    if not host.up:
        yield Finding(
            "host.down",
            Severity.WARNING,
            f"host {host.name}",
            "nova-compute is down",
            _NOVA,
            "No server is placed there, and those on it cannot be managed.",
            script(
                facts.fixes.restart_compute(host.name),
                comment("Its log shows why it stopped."),
            ),
        )
    if not host.enabled:
        yield Finding(
            "host.disabled",
            Severity.WARNING,
            f"host {host.name}",
            f"disabled: {host.disabled_reason or 'no reason given'}",
            _NOVA,
            "No server is placed there.",
            script(
                comment("When it may be used again:"),
                command(
                    *("openstack", "compute", "service", "set", "--enable"),
                    host.name,
                    "nova-compute",
                ),
            ),
        )


def _traits(facts: Facts, host: CloudHost, expected: Collection[str]) -> Iterator[Finding]:
    """Check the traits of the host's provider that restrict flavors to groups of hosts."""
    missing = sorted(set(expected) - host.traits)
    if missing:
        yield Finding(
            "host.traits",
            Severity.FAILURE,
            f"host {host.name}",
            f"it lacks {', '.join(missing)}",
            _ROOT,
            "Flavors that are restricted to its group do not find it.",
            facts.fixes.generate_on(host.name),
        )


def _resources(facts: Facts, host: CloudHost) -> Iterator[Finding]:
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
            script(
                comment("With ram_allocation_ratio = 1.0 in nova-compute's files, as generated:"),
                command(
                    *("openstack", "resource", "provider", "inventory", "set", "--amend"),
                    *("--resource", "MEMORY_MB:allocation_ratio=1.0"),
                    host.provider,
                ),
            ),
        )
    options = facts.compute_options[host.name]
    reserved = options.get(("DEFAULT", "reserved_host_memory_mb"))
    if reserved and memory is not None and memory.reserved != int(reserved.values[0]):
        yield Finding(
            "host.reserved_memory",
            Severity.WARNING,
            f"host {host.name}",
            f"{memory.reserved} MiB are reserved, the fleet file gives {reserved.values[0]}",
            _ROOT,
            "Flavors and capacity are calculated from the fleet file.",
            facts.fixes.generate_on(host.name),
        )
    for resource_class, name in (("PCPU", "cpu_dedicated_set"), ("VCPU", "cpu_shared_set")):
        option = options.get(("compute", name))
        resource = host.resources.get(resource_class)
        expected = len(cpu_list.parse(option.values[0])) if option else 0
        total = resource.total if resource else 0
        # Without dedicated CPUs all CPUs are VCPU.
        if option and total != expected:
            yield Finding(
                "host.cpus",
                Severity.WARNING,
                f"host {host.name}",
                f"it has {total} {resource_class}, the fleet file's {name} gives {expected}",
                _ROOT,
                "Flavors and capacity are calculated from the fleet file.",
                facts.fixes.generate_on(host.name),
            )
