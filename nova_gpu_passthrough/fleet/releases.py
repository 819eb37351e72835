# SPDX-License-Identifier: Apache-2.0
"""The supported Nova releases, and the differences between them that generated files depend on."""

from dataclasses import dataclass

from nova_gpu_passthrough.errors import UserError


@dataclass(frozen=True, slots=True)
class Release:
    """An OpenStack release."""

    #: Nova's major version.
    nova: int
    series: str
    #: The newest microversion of its API ("Maximum in" of rest_api_version_history.rst).
    microversion: tuple[int, int]
    #: Whether Nova knows the tag ``one_time_use`` of a device_spec. Nova's release note
    #: one-time-use-devices-b62247dd2a4c7a15, first in 32.0.0; an older Nova treats it as a property
    #: of the device's pool.
    one_time_use: bool
    #: The first version of Placement with ``[workarounds] optimize_for_wide_provider_trees``; None:
    #: all versions of this release have it. Placement's release notes of 2025.1, 2025.2 and 2026.1,
    #: bug 2126751. An older version ignores the option.
    wide_provider_trees_since: str | None = None
    #: Whether unified limits count the devices of PCI aliases. Nova's release note
    #: fix-unified-limits-pci-4c5ab30b1fcd4245 (bug 2140631), first in 34.0.0; not in stable/2025.1,
    #: stable/2025.2 and stable/2026.1 as of August 2026.
    counts_aliases: bool = False

    def __str__(self) -> str:
        return f"Nova {self.nova} ({self.series})"


#: Oldest first. All of them read ``managed``, ``resource_class`` and ``traits`` of a device_spec
#: and the members of an alias in the same way (nova/pci/devspec.py, nova/pci/request.py), and have
#: ``max_allocation_candidates`` and ``allocation_candidates_generation_strategy``.
RELEASES = (
    Release(31, "2025.1", (2, 100), False, "13.0.1"),
    Release(32, "2025.2", (2, 100), True, "a build of stable/2025.2 after 14.0.0"),
    Release(33, "2026.1", (2, 103), True),
    Release(34, "2026.2", (2, 104), True, counts_aliases=True),
)
NEWEST = RELEASES[-1]
#: The supported releases as a text for users.
SUPPORTED = f"{RELEASES[0].nova} to {NEWEST.nova}, or {RELEASES[0].series} to {NEWEST.series}"


def parse(text: str) -> Release:
    """Return the release of a name, such as 34 or 2026.2.

    :raises UserError: if the release is not supported
    """
    for release in RELEASES:
        if text in (str(release.nova), release.series):
            return release
    known = ", ".join(f"{release.nova} ({release.series})" for release in RELEASES)
    raise UserError(f"--release {text}: unknown release, expected one of {known}")


def first_with(feature: str) -> Release:
    """Return the first release for which a field is true.

    :param feature: the name of the field, such as ``one_time_use``
    """
    return next(release for release in RELEASES if getattr(release, feature))
