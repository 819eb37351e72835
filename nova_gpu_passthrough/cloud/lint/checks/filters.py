# SPDX-License-Identifier: Apache-2.0
"""The filters of nova-scheduler: ours available, enabled, and before those it relies on."""

from collections.abc import Iterator, Sequence

from nova_gpu_passthrough.cloud.lint import facts as fix
from nova_gpu_passthrough.cloud.lint.configuration.services import Role, Service
from nova_gpu_passthrough.cloud.lint.facts import Facts
from nova_gpu_passthrough.generate import control_options
from nova_gpu_passthrough.inventory.findings import Finding, Severity

_SECTION = "filter_scheduler"
_ALL = "nova.scheduler.filters.all_filters"
_OURS = control_options.FILTER.rpartition(".")[2]
_MODULE = control_options.FILTER.rpartition(".")[0]
_WHYS = {
    _OURS: "Nothing looks at link groups, switches and companions, and Placement's first answer "
    "decides which GPUs a server gets.",
    "PciPassthroughFilter": "Hosts without the devices are chosen, and the server fails there.",
    "NUMATopologyFilter": "Hosts whose GPUs and CPUs are on different NUMA nodes are chosen.",
}


def check(facts: Facts) -> Iterator[Finding]:
    """Of every nova-scheduler."""
    wanted = control_options.filters(facts.resolved.settings.enabled_filters)
    for service in facts.role(Role.SCHEDULER):
        enabled = service.configuration.names(_SECTION, "enabled_filters")
        yield from _enabled(service, enabled or (), wanted)
        yield from _available(service, enabled or ())


def _enabled(service: Service, enabled: Sequence[str], wanted: Sequence[str]) -> Iterator[Finding]:
    where = service.configuration.where(_SECTION, "enabled_filters")
    names = [name.rpartition(".")[2] for name in enabled]
    for name in wanted:
        if name not in names:
            yield Finding(
                "scheduler.filter_missing",
                Severity.FAILURE if name in _WHYS else Severity.WARNING,
                service.name,
                f"{name} is not enabled",
                where,
                _WHYS.get(name, "It is among the fleet file's enabled_filters, by default Nova's."),
                fix.generate(service.name)
                if name in _WHYS
                else "Enable it, or name your own in the fleet file's settings (enabled_filters).",
            )
    late = [n for n in _WHYS if n != _OURS and n in names and _OURS in names]
    late = [name for name in late if names.index(name) < names.index(_OURS)]
    if late:
        yield Finding(
            "scheduler.filter_order",
            Severity.FAILURE,
            service.name,
            f"{_OURS} comes after {' and '.join(late)}",
            where,
            "The others then judge hundreds of candidates instead of the few that ours leaves: "
            "seconds a host.",
            f"Put {_OURS} before them.",
        )


def _available(service: Service, enabled: Sequence[str]) -> Iterator[Finding]:
    found = service.configuration.all((_SECTION, "available_filters"))
    values = [assignment.value.strip() for assignment in found] or [_ALL]
    where = service.configuration.where(_SECTION, "available_filters")
    names = {name.rpartition(".")[2] for name in enabled}
    if _OURS in names and not any(value.startswith(_MODULE) for value in values):
        missing = [control_options.FILTER]
    else:
        missing = []
    if _ALL not in values:
        known = {value.rpartition(".")[2] for value in values}
        missing += sorted(name for name in names - known if name != _OURS)
    if missing:
        yield Finding(
            "scheduler.filter_unavailable",
            Severity.FAILURE,
            service.name,
            f"enabled, but not available: {', '.join(missing)}",
            where,
            "nova-scheduler does not start (SchedulerHostFilterNotFound).",
            f"Have a line available_filters = {_ALL} and one with {control_options.FILTER}.",
        )
