# SPDX-License-Identifier: Apache-2.0
"""What the record of the last applied state says of one thing of the cloud."""

import dataclasses
import enum
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from nova_gpu_passthrough.cloud.apply.change import Kind


class Origin(enum.StrEnum):
    """How a thing that the fleet file names came into the cloud."""

    CREATED = "created"
    #: It was there, or somebody else made it.
    ADOPTED = "adopted"
    #: We are making it; it may be there and not be complete.
    PENDING = "pending"


class Key(NamedTuple):
    """Names a thing in the record."""

    kind: Kind
    name: str
    #: Of an aggregate, the host or key of metadata; of a limit, the project's id.
    part: str = ""


@dataclass(frozen=True)
class Entry:
    """A thing of the cloud that the fleet file names, or named."""

    kind: Kind
    name: str
    part: str = ""
    #: Of flavors, aggregates and limits. Another id means another thing of the same name.
    id: str | None = None
    origin: Origin = Origin.CREATED

    @property
    def key(self) -> Key:
        """What it is found by."""
        return Key(self.kind, self.name, self.part)

    @property
    def ours(self) -> bool:
        """Whether it may be deleted once the fleet file does not name it any more."""
        return self.origin is not Origin.ADOPTED


def reconciled(
    known: Mapping[Key, Entry], found: Mapping[Key, str | None], desired: Collection[Key]
) -> Iterator[Entry]:
    """What the record has to say, now that it is known what is there.

    A thing with another id than the record's is another thing, whose name was used again. What is
    desired and not there is kept: a flavor gets its id back, an adopted thing stays adopted.

    :param known: the record's entries of some kinds
    :param found: the things of these kinds that are in the cloud, with their ids
    :param desired: those that the fleet file names
    """
    for key, number in found.items():
        entry = known.get(key)
        if entry is not None and (entry.id == number or None in (entry.id, number)):
            yield dataclasses.replace(entry, id=number)
        elif key in desired:
            yield Entry(*key, number, Origin.ADOPTED)
    yield from (entry for key, entry in known.items() if key in desired and key not in found)


def complete(entry: Entry) -> Entry:
    """An entry of something that is there and of which nothing can be missing."""
    return dataclasses.replace(entry, origin=Origin.CREATED) if entry.ours else entry
