# SPDX-License-Identifier: Apache-2.0
"""Keeps the record true while changes are made, so that a killed run loses nothing."""

import dataclasses
from collections.abc import Callable, Iterable

from nova_gpu_passthrough.cloud.apply.entry import Entry, Key, Origin
from nova_gpu_passthrough.cloud.apply.record import Record


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
