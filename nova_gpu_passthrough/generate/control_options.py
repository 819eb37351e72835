# SPDX-License-Identifier: Apache-2.0
"""What API, conductor, scheduler and Placement need."""

from collections.abc import Iterable, Mapping, Sequence

from nova_gpu_passthrough.fleet.aliases import Alias, Key
from nova_gpu_passthrough.fleet.notes import Note
from nova_gpu_passthrough.fleet.offers import Kind, Offer
from nova_gpu_passthrough.fleet.settings import ENABLED_FILTERS, Settings
from nova_gpu_passthrough.generate.options import Option, Section, option

FILTER = "nova_gpu_passthrough.scheduler.filters.GpuPassthroughFilter"
WEIGHER = "nova_gpu_passthrough.scheduler.weights.GpuPassthroughWeigher"
#: Before these, ours stands.
_LAST_FILTERS = ("PciPassthroughFilter", "NUMATopologyFilter")
#: Candidates that name all free GPUs of a host, even for eight of eight.
_CANDIDATES_PER_HOST = 10
#: Nova's default of max_placement_results: how many hosts a request without GPUs sees now.
_LEAST_CANDIDATES = 1000


def shared(known: Mapping[Key, Alias]) -> tuple[Section, ...]:
    """What has to be the same on API, conductor, scheduler and all compute nodes."""
    return (
        Section(
            "filter_scheduler",
            (
                option(
                    "pci_in_placement",
                    True,
                    "Read wherever aliases are: without it, Nova refuses aliases by resource "
                    "class. Switch it on when all compute nodes report their devices.",
                ),
            ),
        ),
        Section(
            "pci",
            (
                Option(
                    "alias",
                    tuple(alias.to_json() for alias in known.values()),
                    "A name must not come twice.",
                ),
            ),
        ),
    )


def scheduler(
    offers: Sequence[Offer], known: Mapping[Key, Alias], settings: Settings
) -> tuple[Section, ...]:
    """What nova-scheduler needs besides."""
    classes = [alias.resource_class for alias in known.values() if alias.kind is Kind.GPU]
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
                    "Nova's default with GpuPassthroughFilter; give yours with --enabled-filters."
                    if settings.enabled_filters == ENABLED_FILTERS
                    else "Yours, with GpuPassthroughFilter before the filters of PCI devices.",
                ),
                # One list, unlike available_filters: of several lines Nova takes the last.
                option("weight_classes", f"nova.scheduler.weights.all_weighers,{WEIGHER}"),
            ),
        ),
        Section(
            "gpu_passthrough",
            (
                option("policy", settings.policy),
                option("resource_classes", ",".join(classes)),
            ),
        ),
    )


def placement(
    offers: Sequence[Offer], settings: Settings
) -> tuple[tuple[Section, ...], list[Note]]:
    """What keeps Placement from listing every order of the same GPUs."""
    since = settings.release.wide_provider_trees_since
    notes = []
    if since:
        notes.append(
            Note(
                None,
                f"Placement of {settings.release.series} knows "
                f"optimize_for_wide_provider_trees since {since} only; an older one ignores it, "
                "and requests for many GPUs of one host then time out",
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
                    f"{_LEAST_CANDIDATES}; more, if you have more compute nodes.",
                ),
                option("allocation_candidates_generation_strategy", "breadth-first"),
                # What the first try wrote is still in its transaction (_set_allocations and
                # replace_all in placement/objects/allocation.py).
                option(
                    "allocation_conflict_retry_count",
                    1,
                    "Nova tries again by itself. Placement's own retry takes what its first try "
                    "wrote for usage that was there before, and may so give one GPU to two "
                    "servers, of which the compute node refuses one.",
                ),
            ),
        ),
        Section("workarounds", (option("optimize_for_wide_provider_trees", True),)),
    )
    return sections, notes


def candidates(offers: Sequence[Offer]) -> int:
    """How many allocation candidates Placement may give."""
    return max(_LEAST_CANDIDATES, _CANDIDATES_PER_HOST * len(offers))


def filters(enabled: Iterable[str]) -> list[str]:
    """The operator's filters with ours before the two that look at PCI devices."""
    ours = FILTER.rpartition(".")[2]
    names = [name for name in dict.fromkeys(enabled) if name != ours]
    names += [name for name in _LAST_FILTERS if name not in names]
    names.insert(min(names.index(name) for name in _LAST_FILTERS), ours)
    return names
