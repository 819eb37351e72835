# SPDX-License-Identifier: Apache-2.0
"""The options of API, conductor, scheduler and Placement."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields

from nova_gpu_passthrough.fleet import isolation
from nova_gpu_passthrough.fleet.aliases import AliasMap
from nova_gpu_passthrough.fleet.offers import DeviceKind, HostOffer, Note
from nova_gpu_passthrough.fleet.settings import ENABLED_FILTERS, Settings
from nova_gpu_passthrough.generate.service_options import Option, Section, option
from nova_gpu_passthrough.nova_rules.host_selection import SchedulerOptions

FILTER = "nova_gpu_passthrough.scheduler.filters.GpuPassthroughFilter"
WEIGHER = "nova_gpu_passthrough.scheduler.weights.GpuPassthroughWeigher"
#: The filters that GpuPassthroughFilter precedes.
_LAST_FILTERS = ("PciPassthroughFilter", "NUMATopologyFilter")
#: Enough candidates to name every free GPU of a host, even for eight of eight GPUs.
_CANDIDATES_PER_HOST = 10
#: Nova's default of max_placement_results, so that requests without GPUs get as many hosts.
_LEAST_CANDIDATES = 1000


def shared(aliases: AliasMap) -> tuple[Section, ...]:
    """Make the options that are the same on API, conductor, scheduler and all compute nodes."""
    return (
        Section(
            "filter_scheduler",
            (
                option(
                    "pci_in_placement",
                    True,
                    "Every service that reads aliases needs it: without it, Nova refuses aliases "
                    "with a resource class. Set it when all compute nodes report their devices.",
                ),
            ),
        ),
        Section(
            "pci",
            (
                Option(
                    "alias",
                    tuple(alias.to_json() for alias in aliases.values()),
                    "Names must be unique.",
                ),
            ),
        ),
    )


def scheduler(
    offers: Sequence[HostOffer], aliases: AliasMap, settings: Settings
) -> tuple[Section, ...]:
    """Make the further options of nova-scheduler."""
    classes = [alias.resource_class for alias in aliases.values() if alias.kind is DeviceKind.GPU]
    return (
        Section(
            "scheduler",
            (
                option(
                    "max_placement_results",
                    candidates(offers),
                    "At least [placement] max_allocation_candidates.",
                ),
            ),
        ),
        Section(
            "filter_scheduler",
            (
                Option(
                    "available_filters",
                    ("nova.scheduler.filters.all_filters", FILTER),
                ),
                option(
                    "enabled_filters",
                    ",".join(filters(settings.enabled_filters)),
                    _filters_comment(settings.enabled_filters),
                ),
                # One list: Nova reads only the last of several lines, unlike available_filters.
                option("weight_classes", f"nova.scheduler.weights.all_weighers,{WEIGHER}"),
            ),
        ),
        *_selecting_hosts(settings.scheduler_options),
        Section(
            "gpu_passthrough",
            (
                option("policy", settings.policy),
                option("resource_classes", ",".join(classes)),
            ),
        ),
    )


def _filters_comment(enabled: Sequence[str]) -> str:
    isolates = isolation.FILTER in enabled and isolation.FILTER not in ENABLED_FILTERS
    if set(enabled) - {isolation.FILTER} == set(ENABLED_FILTERS):
        comment = "Nova's default and GpuPassthroughFilter; set yours with --enabled-filters."
    else:
        comment = "Your filters, and GpuPassthroughFilter before those for PCI devices."
    if isolates:
        comment += f" {isolation.FILTER} keeps other projects away from hosts with projects."
    return comment


def _selecting_hosts(options: SchedulerOptions) -> Iterator[Section]:
    """Yield the options of the fleet file that decide which hosts a server may use."""
    for one in fields(options):
        value = getattr(options, one.name)
        if value != one.default:
            text = ",".join(value) if isinstance(value, tuple) else value
            yield Section(one.metadata["section"], (option(one.name, text),))


def placement(
    offers: Sequence[HostOffer], settings: Settings
) -> tuple[tuple[Section, ...], list[Note]]:
    """Make the options that keep Placement from listing every order of the same GPUs."""
    since = settings.release.wide_provider_trees_since
    notes = []
    if since:
        notes.append(
            Note(
                None,
                f"Placement of {settings.release.series} knows "
                f"optimize_for_wide_provider_trees only since {since}; an older version ignores "
                "it, and requests for many GPUs of one host then time out",
            )
        )
    sections = (
        Section(
            "placement",
            (
                option(
                    "max_allocation_candidates",
                    candidates(offers),
                    f"{_CANDIDATES_PER_HOST} for each host with GPUs, at least "
                    f"{_LEAST_CANDIDATES}; raise it if you have more compute nodes.",
                ),
                option("allocation_candidates_generation_strategy", "breadth-first"),
                # The records of the first attempt are still in its transaction (_set_allocations
                # and replace_all in placement/objects/allocation.py).
                option(
                    "allocation_conflict_retry_count",
                    1,
                    "Nova retries by itself. Placement's own retry counts the records of its first "
                    "attempt as earlier usage, so it may allocate one GPU to two servers, and the "
                    "compute node then refuses one of them.",
                ),
            ),
        ),
        Section("workarounds", (option("optimize_for_wide_provider_trees", True),)),
    )
    return sections, notes


def candidates(offers: Sequence[HostOffer]) -> int:
    """Return the maximum number of allocation candidates."""
    return max(_LEAST_CANDIDATES, _CANDIDATES_PER_HOST * len(offers))


def filters(enabled: Iterable[str]) -> list[str]:
    """Add GpuPassthroughFilter to filters, before the two that check PCI devices."""
    gpu_filter = FILTER.rpartition(".")[2]
    names = [name for name in dict.fromkeys(enabled) if name != gpu_filter]
    names += [name for name in _LAST_FILTERS if name not in names]
    names.insert(min(names.index(name) for name in _LAST_FILTERS), gpu_filter)
    return names
