# SPDX-License-Identifier: Apache-2.0
"""Servers without GPUs that use up what the free GPUs of a host need."""

from collections.abc import Iterator, Mapping

from nova_gpu_passthrough.cloud.lint.configuration.services import Role
from nova_gpu_passthrough.cloud.lint.facts import Facts
from nova_gpu_passthrough.cloud.view.model import DeviceState, Host
from nova_gpu_passthrough.inventory.findings import Finding, Severity

_SECTION = "gpu_passthrough"
_PREFIX = f"{_SECTION}:"
_ONLY = "only_gpu_servers"
_RESERVED = ("reserved_vcpus_per_gpu", "reserved_ram_mib_per_gpu")
_FIX = (
    "Give the group's metadata in the fleet file gpu_passthrough:only_gpu_servers: true, or "
    "gpu_passthrough:reserved_vcpus_per_gpu and gpu_passthrough:reserved_ram_mib_per_gpu."
)


def check(facts: Facts) -> Iterator[Finding]:
    """What protects GPU hosts by configuration, then what is on them."""
    by_option = False
    for service in facts.role(Role.SCHEDULER):
        configuration = service.configuration
        hard = configuration.flag(_SECTION, _ONLY, False) or any(
            (configuration.number(_SECTION, name, 0) or 0) > 0 for name in _RESERVED
        )
        by_option = by_option or hard
        if configuration.number(_SECTION, "avoid_gpu_hosts", 1) == 0 and not hard:
            open_groups = [
                aggregate.name
                for aggregate in facts.desired.aggregates
                if aggregate.hosts and not _protects(aggregate.metadata)
            ]
            if open_groups:
                yield Finding(
                    "scheduler.unprotected",
                    Severity.WARNING,
                    service.name,
                    "avoid_gpu_hosts is 0, and nothing else keeps servers without GPUs away from "
                    f"the hosts of {', '.join(open_groups)}",
                    configuration.where(_SECTION, "avoid_gpu_hosts"),
                    "They fill up the CPUs and memory of GPU hosts, and GPUs are stranded.",
                    f"Leave the default (1). {_FIX}",
                )
    if facts.cloud is not None and not by_option:
        for host in facts.cloud.view.hosts:
            yield from _host(host)


def _protects(metadata: Mapping[str, str]) -> bool:
    if metadata.get(f"{_PREFIX}{_ONLY}", "").lower() == "true":
        return True
    return any(metadata.get(f"{_PREFIX}{name}", "0") not in ("", "0") for name in _RESERVED)


def _host(host: Host) -> Iterator[Finding]:
    if any(_protects(metadata) for metadata in host.aggregates.values()):
        return
    free = [gpu for gpu in host.gpus if gpu.state is DeviceState.FREE]
    with_devices = {consumer for device in host.devices for consumer in device.consumers}
    others = [server for server in host.servers if server.id not in with_devices]
    if not free or not others:
        return
    short = []
    for name in ("MEMORY_MB", "PCPU"):
        resource = host.resources.get(name)
        if resource is None or not resource.capacity:
            continue
        share = resource.capacity * len(free) // len(host.gpus)
        if resource.free < share:
            short.append(f"{resource.free} of {share} {name}")
    if short:
        yield Finding(
            "host.crowded",
            Severity.WARNING,
            f"host {host.name}",
            f"{len(others)} servers without GPUs leave its {len(free)} free GPUs "
            f"{' and '.join(short)}",
            "Nova, servers of the host",
            "GPU servers of a full share do not fit any more: the GPUs are stranded.",
            f"Move them away. {_FIX}",
        )
