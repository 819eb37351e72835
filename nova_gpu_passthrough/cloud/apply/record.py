# SPDX-License-Identifier: Apache-2.0
"""The record of the last apply: a YAML file beside the fleet file.

It says which objects of the cloud apply created, and so may delete, and which existed before. It
holds no secrets. If it is lost, apply treats every object in the cloud as one that existed before.
"""

import contextlib
import dataclasses
import enum
import errno
import fcntl
import os
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import cattrs

from nova_gpu_passthrough.cloud.apply.change import ResourceKind
from nova_gpu_passthrough.errors import UserError
from nova_gpu_passthrough.files import documents, generated_files
from nova_gpu_passthrough.fleet.desired_state import DesiredState

if TYPE_CHECKING:
    from openstack.connection import Connection


SCHEMA = "nova-gpu-passthrough/applied"
VERSION = 1
_HEADER = (
    "# What nova-gpu apply last did to the cloud, and which objects it created.\n"
    "# Keep it with the fleet file; without it, apply deletes nothing.\n"
)
_LOGIN = re.compile(r"(?<=://)[^/@\s]+@")

_converter = cattrs.Converter(omit_if_default=True)
# YAML has no tuples and no enumerations, not even of strings.
_converter.register_unstructure_hook(enum.StrEnum, str)
_converter.register_unstructure_hook(
    tuple, lambda items: [_converter.unstructure(item) for item in items]
)


class Origin(enum.StrEnum):
    """Where an object comes from that the fleet file names."""

    #: Apply created it.
    CREATED = "created"
    #: It existed before apply, or someone else created it.
    ADOPTED = "adopted"
    #: Apply is creating it; it may exist and be incomplete.
    PENDING = "pending"


class RecordKey(NamedTuple):
    """The key of an object in the record."""

    kind: ResourceKind
    name: str
    #: Of an aggregate: the host or the metadata key. Of a limit: the project's id.
    part: str = ""


@dataclass(frozen=True)
class RecordEntry:
    """An object of the cloud that the fleet file names, or named."""

    kind: ResourceKind
    name: str
    part: str = ""
    #: Of flavors, aggregates and limits. Another id means another object of the same name.
    id: str | None = None
    origin: Origin = Origin.CREATED

    @property
    def key(self) -> RecordKey:
        """The key of the object."""
        return RecordKey(self.kind, self.name, self.part)

    @property
    def deletable(self) -> bool:
        """Whether apply may delete the object once the fleet file no longer names it."""
        return self.origin is not Origin.ADOPTED


def reconcile_entries(
    recorded: Mapping[RecordKey, RecordEntry],
    existing: Mapping[RecordKey, str | None],
    desired: Collection[RecordKey],
) -> Iterator[RecordEntry]:
    """Yield the entries of the record that match the cloud as it is now.

    An object whose id differs from the record's is another object under a reused name. Entries of
    desired objects that do not exist are kept: a flavor gets its id back, and an adopted object
    stays adopted.

    :param recorded: the record's entries of some kinds
    :param existing: the objects of these kinds in the cloud, with their ids
    :param desired: those that the fleet file names
    """
    for key, object_id in existing.items():
        entry = recorded.get(key)
        if entry is not None and (entry.id == object_id or None in (entry.id, object_id)):
            yield dataclasses.replace(entry, id=object_id)
        elif key in desired:
            yield RecordEntry(*key, object_id, Origin.ADOPTED)
    yield from (entry for key, entry in recorded.items() if key in desired and key not in existing)


def mark_complete(entry: RecordEntry) -> RecordEntry:
    """Return the entry of an object that exists and is complete."""
    return dataclasses.replace(entry, origin=Origin.CREATED) if entry.deletable else entry


@dataclass(frozen=True)
class CloudIdentity:
    """Identifies a cloud: Keystone's URL, without version, and the region."""

    auth_url: str
    region: str = ""

    def __str__(self) -> str:
        """The URL, and the region if there is one."""
        return f"{self.auth_url}, region {self.region}" if self.region else self.auth_url


@dataclass(frozen=True)
class Record:
    """What apply did to one cloud for one fleet."""

    fleet: str
    cloud: CloudIdentity
    #: ISO 8601 in UTC; empty: never.
    applied_at: str = ""
    #: Whether the last run made all changes of its plan.
    complete: bool = True
    desired: DesiredState = DesiredState("")
    entries: tuple[RecordEntry, ...] = ()

    def check(self, fleet: str, cloud: CloudIdentity, path: Path) -> None:
        """Check that the record is of this fleet and this cloud.

        :raises UserError: if it is not
        """
        if self.fleet != fleet:
            raise UserError(
                f"{path}: key fleet: this is the record of fleet {self.fleet}, not of {fleet}; "
                "name the right record with --record FILE, or a new file"
            )
        if self.cloud != cloud:
            raise UserError(
                f"{path}: key cloud: this is the record of the cloud at {self.cloud}, not of the "
                f"one at {cloud}; use a separate record for each cloud with --record FILE"
            )


def default_path(fleet_file: Path) -> Path:
    """Return the path of a fleet file's record: ``fleet.applied.yaml`` beside ``fleet.yaml``."""
    return fleet_file.with_name(f"{fleet_file.stem}.applied.yaml")


def cloud_identity(connection: "Connection") -> CloudIdentity:
    """Return the identity of a connection's cloud, from its configuration alone."""
    config = connection.config
    url = str((config.config.get("auth") or {}).get("auth_url") or "")
    url = re.sub(r"/v\d[\d.]*$", "", _LOGIN.sub("", url).rstrip("/"))
    return CloudIdentity(url, str(config.get_region_name("compute") or ""))


def load(path: Path) -> Record | None:
    """Read a record; None if the file does not exist yet.

    :raises UserError: if the file is not a record
    """
    if not path.exists():
        return None
    rules = documents.schema(__package__, f"record-v{VERSION}.json")
    document = documents.load(
        path, f"a record of nova-gpu apply, version {VERSION}", rules, is_long=True
    )
    del document["schema"], document["version"]
    return _converter.structure(document, Record)


def save(path: Path, record: Record) -> None:
    """Write a record atomically.

    :raises UserError: if it cannot be written
    """
    generated_files.write_all({path: _HEADER + documents.dump(to_document(record))}, force=True)


def to_document(record: Record) -> dict[str, Any]:
    """Return a record as plain data."""
    return {"schema": SCHEMA, "version": VERSION, **_converter.unstructure(record)}


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Lock a record, so that no second apply uses it at the same time.

    :raises UserError: if another apply uses a record in the same directory
    """
    try:
        handle = os.open(path.parent, os.O_RDONLY)
    except OSError as error:
        raise UserError(f"{path.parent}: {error.strerror or error}") from None
    try:
        # Lock the directory: a lock file would be left behind.
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        # Some network file systems cannot lock directories: apply then runs without a lock.
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            os.close(handle)
            raise UserError(
                f"{path}: another nova-gpu apply uses this directory; wait until it has ended"
            ) from None
    try:
        yield
    finally:
        os.close(handle)


class Ledger:
    """Updates the record after every change, so that an interrupted run can resume."""

    def __init__(self, record: Record, save: Callable[[Record], None]) -> None:
        self._saved = record
        self._save = save
        self._entries = {entry.key: entry for entry in record.entries}

    @property
    def record(self) -> Record:
        """The record as it is now."""
        entries = sorted(self._entries.values(), key=lambda entry: entry.key)
        return dataclasses.replace(self._saved, entries=tuple(entries))

    def replace(self, record: Record) -> None:
        """Replace the whole record, and save it if it differs."""
        self._entries = {entry.key: entry for entry in record.entries}
        self._saved, old = record, self._saved
        if record != old:
            self._save(record)

    def entry(self, key: RecordKey) -> RecordEntry | None:
        """Return the entry of an object; None if there is none."""
        return self._entries.get(key)

    def mark_pending(self, *entries: RecordEntry) -> None:
        """Note objects before they are created, so that a later run knows that apply did it."""
        self._set_origin(entries, Origin.PENDING)

    def mark_created(self, *entries: RecordEntry) -> None:
        """Note objects that were created, or are complete now."""
        self._set_origin(entries, Origin.CREATED)

    def mark_adopted(self, *entries: RecordEntry) -> None:
        """Note objects that someone else created before apply could."""
        for entry in entries:
            self._entries[entry.key] = dataclasses.replace(entry, origin=Origin.ADOPTED)
        self._save_changes()

    def remove(self, *keys: RecordKey) -> None:
        """Remove the entries of objects that no longer exist."""
        for key in keys:
            self._entries.pop(key, None)
        self._save_changes()

    def _set_origin(self, entries: Iterable[RecordEntry], origin: Origin) -> None:
        for entry in entries:
            known = self._entries.get(entry.key)
            # An adopted object stays adopted, even if apply has to create it again.
            kept = origin if known is None or known.deletable else known.origin
            self._entries[entry.key] = dataclasses.replace(entry, origin=kept)
        self._save_changes()

    def _save_changes(self) -> None:
        record = self.record
        if record != self._saved:
            self._save(record)
            self._saved = record
