# SPDX-License-Identifier: Apache-2.0
import dataclasses

import pytest

from nova_gpu_passthrough.cloud.apply.change import Entry, Kind, Origin
from nova_gpu_passthrough.cloud.apply.record import Cloud, Ledger, Record

EMPTY = Record("paris", Cloud("http://cloud"))
FLAVOR = Entry(Kind.FLAVOR, "f", id="1")


@pytest.fixture
def saved():
    return []


@pytest.fixture
def ledger(saved):
    return Ledger(EMPTY, saved.append)


def _origin(ledger):
    return ledger.entry(FLAVOR.key).origin


def test_each_change_is_saved_at_once(ledger, saved):
    ledger.intend(FLAVOR)
    ledger.made(FLAVOR)
    ledger.gone(FLAVOR.key)
    assert [[entry.origin for entry in record.entries] for record in saved] == [
        [Origin.PENDING],
        [Origin.CREATED],
        [],
    ]


def test_what_is_no_change_is_not_saved(ledger, saved):
    ledger.begin(EMPTY)
    ledger.gone(FLAVOR.key)
    assert saved == []


def test_what_was_there_when_it_was_to_be_made_is_somebody_elses(ledger):
    ledger.intend(FLAVOR)
    ledger.found(FLAVOR)
    assert _origin(ledger) is Origin.ADOPTED


def test_somebody_elses_thing_stays_theirs_even_if_it_is_made_anew(ledger):
    ledger.found(FLAVOR)
    ledger.intend(FLAVOR)
    ledger.made(dataclasses.replace(FLAVOR, id="2"))
    assert ledger.entry(FLAVOR.key) == dataclasses.replace(FLAVOR, id="2", origin=Origin.ADOPTED)


def test_entries_are_in_the_same_order_whenever_they_came(ledger):
    other = Entry(Kind.AGGREGATE, "g")
    ledger.made(FLAVOR)
    ledger.made(other)
    assert [entry.name for entry in ledger.record.entries] == ["g", "f"]
