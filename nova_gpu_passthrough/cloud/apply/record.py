# SPDX-License-Identifier: Apache-2.0
"""The record of what was applied last: a YAML file beside the fleet file.

It tells what of the cloud ``apply`` made, and may delete, and what was there before. It holds no
secrets. Without it nothing is lost but that: all that is in the cloud counts as there before.
"""

import contextlib
import enum
import errno
import fcntl
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cattrs

from nova_gpu_passthrough.cloud.apply.entry import Entry
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
