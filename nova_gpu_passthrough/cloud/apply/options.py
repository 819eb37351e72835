# SPDX-License-Identifier: Apache-2.0
"""What somebody allowed, and what is known from before."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from nova_gpu_passthrough.cloud.apply.change import Kind
from nova_gpu_passthrough.cloud.apply.entry import Entry, Key


@dataclass(frozen=True)
class Options:
    """What a plan depends on besides the cloud and what is desired."""

    #: Delete what apply did not make, too.
    prune: bool = False
    #: Change flavors that servers use, too.
    change_used: bool = False
    #: Of the record.
    entries: Mapping[Key, Entry] = field(default_factory=dict)

    def known(self, *kinds: Kind) -> dict[Key, Entry]:
        """The record's entries of some kinds."""
        return {key: entry for key, entry in self.entries.items() if key.kind in kinds}
