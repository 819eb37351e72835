# SPDX-License-Identifier: Apache-2.0
"""Servers without GPUs that use the CPUs and memory that free GPUs of a host need."""

from collections.abc import Iterator, Mapping

from nova_gpu_passthrough.cloud.lint.check import lint_check
from nova_gpu_passthrough.cloud.lint.configuration.services import ServiceRole
from nova_gpu_passthrough.cloud.lint.facts import Facts
from nova_gpu_passthrough.cloud.view import device_counts
from nova_gpu_passthrough.cloud.view.model import CloudHost
from nova_gpu_passthrough.inventory.findings import Finding, Severity
from nova_gpu_passthrough.inventory.shell_fix import command, comment, script

_SECTION = "gpu_passthrough"
_PREFIX = f"{_SECTION}:"
_ONLY = "only_gpu_servers"
_RESERVED = ("reserved_vcpus_per_gpu", "reserved_pcpus_per_gpu", "reserved_ram_mib_per_gpu")


@lint_check(drift=False)
def check(facts: Facts) -> Iterator[Finding]:
    """Check the configuration that protects GPU hosts, then the servers on them."""
    protected = False
    for service in facts.services_with(ServiceRole.SCHEDULER):
        configuration = service.configuration
        enforced = configuration.flag(_SECTION, _ONLY, False) or any(
            (configuration.number(_SECTION, name, 0) or 0) > 0 for name in _RESERVED
        )
        protected = protected or enforced
        if configuration.number(_SECTION, "avoid_gpu_hosts", 1) == 0 and not enforced:
            unprotected = [
                aggregate.name
                for aggregate in facts.desired.aggregates
                if aggregate.hosts and not _protects(aggregate.metadata)
            ]
            if unprotected:
                yield Finding(
                    "scheduler.unprotected",
                    Severity.WARNING,
                    service.name,
                    "avoid_gpu_hosts is 0, and nothing else keeps servers without GPUs away from "
                    f"the hosts of {', '.join(unprotected)}",
                    configuration.where(_SECTION, "avoid_gpu_hosts"),
                    "They use up CPUs and memory of GPU hosts, and GPUs are stranded.",
                    script(
                        facts.fixes.set_option(
                            *(service, _SECTION, "avoid_gpu_hosts", "1"),
                            roles=(ServiceRole.SCHEDULER,),
                        ),
                        _protect(facts, " or ".join(unprotected)),
                    ),
                )
    if facts.cloud is not None and not protected:
        for host in facts.cloud.view.hosts:
            yield from _host(facts, host)


def _protects(metadata: Mapping[str, str]) -> bool:
    if metadata.get(f"{_PREFIX}{_ONLY}", "").lower() == "true":
        return True
    return any(metadata.get(f"{_PREFIX}{name}", "0") not in ("", "0") for name in _RESERVED)


def _host(facts: Facts, host: CloudHost) -> Iterator[Finding]:
    if any(_protects(metadata) for metadata in host.aggregates.values()):
        return
    gpus = device_counts.count(host.gpus)
    with_devices = {consumer for device in host.devices for consumer in device.consumers}
    without_devices = [server for server in host.servers if server.id not in with_devices]
    if not gpus.free or not without_devices:
        return
    shortages = []
    for name in ("MEMORY_MB", "PCPU"):
        resource = host.resources.get(name)
        if resource is None or not resource.capacity:
            continue
        share = resource.capacity * gpus.free // gpus.total
        if resource.free < share:
            shortages.append(f"{resource.free} of {share} {name}")
    if shortages:
        yield Finding(
            "host.crowded",
            Severity.WARNING,
            f"host {host.name}",
            f"{len(without_devices)} servers without GPUs leave its {gpus.free} free GPUs "
            f"{' and '.join(shortages)}",
            "Nova, servers of the host",
            "GPU servers with a full share of the host no longer fit: the GPUs are stranded.",
            script(
                *(
                    command("openstack", "server", "migrate", "--live-migration", server.id)
                    for server in without_devices
                ),
                _protect(facts, ", ".join(host.aggregates) or host.name),
            ),
        )


def _protect(facts: Facts, aggregate: str) -> str:
    """Return how to keep servers without GPUs away from the hosts of an aggregate."""
    return script(
        facts.fixes.edit_fleet(
            f"in metadata of the group of aggregate {aggregate}, set {_PREFIX}{_ONLY}: 'true'",
            facts.fixes.apply(),
        ),
        comment(
            f"Or {_PREFIX}{_RESERVED[1]} ({_PREFIX}{_RESERVED[0]} for flavors without pinned CPUs) "
            f"and {_PREFIX}{_RESERVED[2]}."
        ),
    )
