# SPDX-License-Identifier: Apache-2.0
"""The filters of nova-scheduler: GpuPassthroughFilter and the filters that it requires."""

from collections.abc import Iterator, Mapping, Sequence

from nova_gpu_passthrough.cloud.lint.check import lint_check
from nova_gpu_passthrough.cloud.lint.configuration.services import ConfiguredService, ServiceRole
from nova_gpu_passthrough.cloud.lint.facts import Facts
from nova_gpu_passthrough.fleet import isolation
from nova_gpu_passthrough.generate import control_options
from nova_gpu_passthrough.inventory.findings import Finding, Severity
from nova_gpu_passthrough.inventory.shell_fix import comment, script

_SECTION = "filter_scheduler"
_ALL = "nova.scheduler.filters.all_filters"
_GPU_FILTER = control_options.FILTER.rpartition(".")[2]
_MODULE = control_options.FILTER.rpartition(".")[0]
_REQUIRED = {
    _GPU_FILTER: "Link groups, switches and companions are ignored, and the first allocation "
    "candidate determines which GPUs a server gets.",
    "PciPassthroughFilter": "Hosts without the devices are selected, and the server fails there.",
    "NUMATopologyFilter": "Hosts whose GPUs and CPUs are on different NUMA nodes are selected.",
}
_ISOLATION = (
    "Servers of every project are placed on hosts that the fleet file reserves for some projects "
    "(groups[].projects)."
)


@lint_check()
def check(facts: Facts) -> Iterator[Finding]:
    """Check every nova-scheduler; without passthrough hosts only the isolation of projects."""
    isolated = any(group.projects for group in facts.resolved.file.groups)
    required = {isolation.FILTER: _ISOLATION} if isolated else {}
    expected: Sequence[str] = tuple(required)
    if facts.offers:
        required |= _REQUIRED
        expected = control_options.filters(facts.resolved.settings.enabled_filters)
    for service in facts.services_with(ServiceRole.SCHEDULER):
        enabled = service.configuration.names(_SECTION, "enabled_filters")
        yield from _enabled(facts, service, enabled or (), expected, required)
        if facts.offers:
            yield from _available(facts, service, enabled or ())


def _enabled(
    facts: Facts,
    service: ConfiguredService,
    enabled: Sequence[str],
    expected: Sequence[str],
    required: Mapping[str, str],
) -> Iterator[Finding]:
    where = service.configuration.where(_SECTION, "enabled_filters")
    names = [name.rpartition(".")[2] for name in enabled]
    for name in expected:
        if name not in names:
            yield Finding(
                "scheduler.filter_missing",
                Severity.FAILURE if name in required else Severity.WARNING,
                service.name,
                f"{name} is not enabled",
                where,
                required.get(
                    name, "It is in enabled_filters of the fleet file, by default Nova's."
                ),
                _enable(facts, service, name, names, required),
            )
    early = [n for n in _REQUIRED if n != _GPU_FILTER and n in names and _GPU_FILTER in names]
    early = [name for name in early if names.index(name) < names.index(_GPU_FILTER)]
    if early:
        yield Finding(
            "scheduler.filter_order",
            Severity.FAILURE,
            service.name,
            f"{_GPU_FILTER} runs after {' and '.join(early)}",
            where,
            "Those filters then examine hundreds of candidates instead of the few that "
            f"{_GPU_FILTER} keeps, which takes seconds for each host.",
            _set_filters(facts, service, control_options.filters(names)),
        )


def _available(
    facts: Facts, service: ConfiguredService, enabled: Sequence[str]
) -> Iterator[Finding]:
    assignments = service.configuration.all((_SECTION, "available_filters"))
    values = [assignment.value.strip() for assignment in assignments] or [_ALL]
    where = service.configuration.where(_SECTION, "available_filters")
    names = {name.rpartition(".")[2] for name in enabled}
    if _GPU_FILTER in names and not any(value.startswith(_MODULE) for value in values):
        missing = [control_options.FILTER]
    else:
        missing = []
    if _ALL not in values:
        known = {value.rpartition(".")[2] for value in values}
        missing += sorted(name for name in names - known if name != _GPU_FILTER)
    if missing:
        others = [value for value in values if value not in (_ALL, control_options.FILTER)]
        available = (_ALL, *others, control_options.FILTER)
        yield Finding(
            "scheduler.filter_unavailable",
            Severity.FAILURE,
            service.name,
            f"enabled, but not available: {', '.join(missing)}",
            where,
            "nova-scheduler does not start (SchedulerHostFilterNotFound).",
            facts.fixes.set_option(
                service, _SECTION, "available_filters", *available, roles=(ServiceRole.SCHEDULER,)
            ),
        )


def _enable(
    facts: Facts,
    service: ConfiguredService,
    name: str,
    names: Sequence[str],
    required: Mapping[str, str],
) -> str:
    """Return how to enable a filter."""
    if not facts.offers:
        return _set_filters(facts, service, [*names, name])
    if name in required:
        last = service.configuration.last(_SECTION, "enabled_filters")
        return facts.fixes.generate(service, last)
    return script(
        _set_filters(facts, service, control_options.filters([*names, name])),
        comment(f"Or in {facts.fixes.fleet}, set settings.enabled_filters to your filters."),
    )


def _set_filters(facts: Facts, service: ConfiguredService, names: Sequence[str]) -> str:
    """Return how to enable filters."""
    return facts.fixes.set_option(
        *(service, _SECTION, "enabled_filters", ",".join(names)), roles=(ServiceRole.SCHEDULER,)
    )
