# SPDX-License-Identifier: Apache-2.0
"""What the supported Nova releases differ in, as far as generated files are concerned."""

from dataclasses import dataclass

from nova_gpu_passthrough.errors import UserError


@dataclass(frozen=True, slots=True)
class Release:
    """One OpenStack release."""

    #: Nova's major version.
    nova: int
    series: str
    #: The tag ``one_time_use`` of a device_spec. Nova's release note
    #: one-time-use-devices-b62247dd2a4c7a15, first in 32.0.0; before, it would be an unknown tag,
    #: which Nova takes for a property of the device's pool.
    one_time_use: bool
    #: Since when Placement has ``[workarounds] optimize_for_wide_provider_trees``; None: in all
    #: its versions of this release. Placement's release notes of 2025.1, 2025.2 and 2026.1, bug
    #: 2126751. An older one ignores the option.
    wide_provider_trees_since: str | None = None
    #: Whether unified limits count the devices of PCI aliases. Nova's release note
    #: fix-unified-limits-pci-4c5ab30b1fcd4245 (bug 2140631), first in 34.0.0; not in stable/2025.1,
    #: stable/2025.2 and stable/2026.1 as of August 2026.
    counts_aliases: bool = False


#: Oldest first. ``managed``, ``resource_class`` and ``traits`` of a device_spec and the rules of an
#: alias (nova/pci/devspec.py, nova/pci/request.py) are the same in all, and so are
#: ``max_allocation_candidates`` and ``allocation_candidates_generation_strategy``.
RELEASES = (
    Release(31, "2025.1", False, "13.0.1"),
    Release(32, "2025.2", True, "a build of stable/2025.2 after 14.0.0"),
    Release(33, "2026.1", True),
    Release(34, "2026.2", True, counts_aliases=True),
)
NEWEST = RELEASES[-1]


def parse(text: str) -> Release:
    """The release with this name, such as 34 or 2026.2.

    :raises UserError: if it is none of the supported ones
    """
    for release in RELEASES:
        if text in (str(release.nova), release.series):
            return release
    known = ", ".join(f"{release.nova} ({release.series})" for release in RELEASES)
    raise UserError(f"--release {text}: unknown release, expected one of {known}")
