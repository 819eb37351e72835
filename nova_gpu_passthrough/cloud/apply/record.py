# SPDX-License-Identifier: Apache-2.0
"""The record of what was applied last: a YAML file beside the fleet file.

It tells what of the cloud ``apply`` made, and may delete, and what was there before. It holds no
secrets. Without it nothing is lost but that: all that is in the cloud counts as there before.
"""

import contextlib
import dataclasses
import enum
import errno
import fcntl
import os
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cattrs

from nova_gpu_passthrough.cloud.apply.change import Entry, Key, Origin
from nova_gpu_passthrough.errors import UserError
from nova_gpu_passthrough.files import documents, writing
from nova_gpu_passthrough.fleet.desired import Desired

if TYPE_CHECKING:
    from openstack.connection import Connection


SCHEMA = "nova-gpu-passthrough/applied"
VERSION = 1
_HEAD = (
    "# What nova-gpu apply last made of the cloud, and which of it is its own.\n"
    "# Keep it with the fleet file; without it, apply deletes nothing.\n"
)
_LOGIN = re.compile(r"(?<=://)[^/@\s]+@")

_converter = cattrs.Converter(omit_if_default=True)
# YAML knows neither tuples nor enumerations, not even those that are strings.
_converter.register_unstructure_hook(enum.StrEnum, str)
_converter.register_unstructure_hook(
    tuple, lambda items: [_converter.unstructure(item) for item in items]
)


@dataclass(frozen=True)
class Cloud:
    """Which cloud it is: Keystone's URL, without version, and the region."""

    auth_url: str
    region: str = ""

    def __str__(self) -> str:
        """What people call it."""
        return f"{self.auth_url}, region {self.region}" if self.region else self.auth_url


@dataclass(frozen=True)
class Record:
    """What was applied to one cloud of one fleet."""

    fleet: str
    cloud: Cloud
    #: ISO 8601 in UTC; empty: never.
    applied_at: str = ""
    #: Whether all changes were made that could be made.
    complete: bool = True
    desired: Desired = Desired("")
    entries: tuple[Entry, ...] = ()

    def check(self, fleet: str, cloud: Cloud, path: Path) -> None:
        """See to it that it is the record of this fleet and this cloud.

        :raises UserError: if not
        """
        if self.fleet != fleet:
            raise UserError(
                f"{path}: key fleet: it is the record of fleet {self.fleet}, not of {fleet}; name "
                "the right one with --record FILE, or a new one"
            )
        if self.cloud != cloud:
            raise UserError(
                f"{path}: key cloud: it is the record of the cloud at {self.cloud}, not of the one "
                f"at {cloud}; keep a record of its own for each cloud with --record FILE"
            )


def default_path(fleet_file: Path) -> Path:
    """Where the record of a fleet file is: ``fleet.applied.yaml`` beside ``fleet.yaml``."""
    return fleet_file.with_name(f"{fleet_file.stem}.applied.yaml")


def cloud_of(connection: "Connection") -> Cloud:
    """The cloud of a connection; nothing is asked of it."""
    config = connection.config
    url = str((config.config.get("auth") or {}).get("auth_url") or "")
    url = re.sub(r"/v\d[\d.]*$", "", _LOGIN.sub("", url).rstrip("/"))
    return Cloud(url, str(config.get_region_name("compute") or ""))


def load(path: Path) -> Record | None:
    """Read a record; None if there is none yet.

    :raises UserError: if the file is something else
    """
    if not path.exists():
        return None
    rules = documents.schema(__package__, f"record-v{VERSION}.json")
    document = documents.load(path, f"a record of nova-gpu apply, version {VERSION}", rules)
    del document["schema"], document["version"]
    return _converter.structure(document, Record)


def save(path: Path, record: Record) -> None:
    """Write a record, atomically.

    :raises UserError: if it cannot be written
    """
    writing.write_all({path: _HEAD + documents.dump(to_document(record))}, force=True)


def to_document(record: Record) -> dict[str, Any]:
    """A record as plain data."""
    return {"schema": SCHEMA, "version": VERSION, **_converter.unstructure(record)}


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Keep a second apply away from the record for as long as this one works.

    :raises UserError: if another one works with a record in the same directory
    """
    try:
        handle = os.open(path.parent, os.O_RDONLY)
    except OSError as error:
        raise UserError(f"{path.parent}: {error.strerror or error}") from None
    try:
        # The directory: a file of its own would be left behind.
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        # Some network file systems have no locks on directories.
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            os.close(handle)
            raise UserError(
                f"{path}: another nova-gpu apply is at work there; wait until it has ended"
            ) from None
    try:
        yield
    finally:
        os.close(handle)


class Ledger:
    """The record in the making; whatever changes in it is saved at once."""

    def __init__(self, record: Record, save: Callable[[Record], None]) -> None:
        self._saved = record
        self._save = save
        self._entries = {entry.key: entry for entry in record.entries}

    @property
    def record(self) -> Record:
        """The record as it is now."""
        entries = sorted(self._entries.values(), key=lambda entry: entry.key)
        return dataclasses.replace(self._saved, entries=tuple(entries))

    def begin(self, record: Record) -> None:
        """Start from another record, if it differs."""
        self._entries = {entry.key: entry for entry in record.entries}
        self._saved, old = record, self._saved
        if record != old:
            self._save(record)

    def entry(self, key: Key) -> Entry | None:
        """What is known of a thing."""
        return self._entries.get(key)

    def intend(self, *entries: Entry) -> None:
        """Things will be made: whoever finds them there later shall know that they are ours."""
        self._put(dataclasses.replace(e, origin=Origin.PENDING) for e in entries)

    def made(self, *entries: Entry) -> None:
        """Things were made, or are complete now."""
        self._put(dataclasses.replace(e, origin=Origin.CREATED) for e in entries)

    def found(self, *entries: Entry) -> None:
        """Things were there when they were to be made: somebody else's."""
        for entry in entries:
            self._entries[entry.key] = dataclasses.replace(entry, origin=Origin.ADOPTED)
        self._keep()

    def gone(self, *keys: Key) -> None:
        """Things are not there any more."""
        for key in keys:
            self._entries.pop(key, None)
        self._keep()

    def _put(self, entries: Iterable[Entry]) -> None:
        for entry in entries:
            known = self._entries.get(entry.key)
            # What was there before apply came stays somebody else's, even if it was made anew.
            origin = entry.origin if known is None or known.ours else known.origin
            self._entries[entry.key] = dataclasses.replace(entry, origin=origin)
        self._keep()

    def _keep(self) -> None:
        record = self.record
        if record != self._saved:
            self._save(record)
            self._saved = record
