# SPDX-License-Identifier: Apache-2.0
import pytest

from nova_gpu_passthrough.cloud.apply.change import Entry, Key, Kind, Origin, complete, reconciled

KEY = Key(Kind.FLAVOR, "f")


def _reconciled(entry=None, number=None, found=True, desired=True):
    known = {entry.key: entry} if entry else {}
    there = {KEY: number} if found else {}
    return list(reconciled(known, there, {KEY} if desired else set()))


def test_what_is_there_and_not_in_the_record_is_somebody_elses():
    assert _reconciled(number="1") == [Entry(*KEY, "1", Origin.ADOPTED)]


def test_what_is_there_and_nobody_names_is_none_of_its_business():
    assert _reconciled(number="1", desired=False) == []


@pytest.mark.parametrize("desired", [True, False])
def test_what_it_made_stays_its_own_as_long_as_it_is_there(desired):
    entry = Entry(*KEY, "1")
    assert _reconciled(entry, "1", desired=desired) == [entry]


def test_another_thing_of_the_same_name_is_somebody_elses():
    assert _reconciled(Entry(*KEY, "1"), "2") == [Entry(*KEY, "2", Origin.ADOPTED)]
    assert _reconciled(Entry(*KEY, "1"), "2", desired=False) == []


def test_what_it_was_making_when_it_was_killed_is_its_own():
    assert _reconciled(Entry(*KEY, None, Origin.PENDING), "1") == [Entry(*KEY, "1", Origin.PENDING)]


def test_what_was_deleted_by_hand_is_kept_only_while_it_is_wanted():
    entry = Entry(*KEY, "1")
    assert _reconciled(entry, found=False) == [entry]
    assert _reconciled(entry, found=False, desired=False) == []


def test_what_is_complete_is_not_pending_and_keeps_its_owner():
    assert complete(Entry(*KEY, "1", Origin.PENDING)).origin is Origin.CREATED
    assert complete(Entry(*KEY, "1", Origin.ADOPTED)).origin is Origin.ADOPTED
