# SPDX-License-Identifier: Apache-2.0
"""The record: its entries, its file, and its updates during a run."""

import dataclasses
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nova_gpu_passthrough.cloud.apply import record
from nova_gpu_passthrough.cloud.apply.change import ResourceKind
from nova_gpu_passthrough.cloud.apply.record import (
    CloudIdentity,
    Ledger,
    Origin,
    Record,
    RecordEntry,
    RecordKey,
    mark_complete,
    reconcile_entries,
)
from nova_gpu_passthrough.errors import UserError
from nova_gpu_passthrough.fleet.desired_state import DesiredState, Flavor
from tests.unit.cloud.apply.builders import desired, flavor

CLOUD = CloudIdentity("http://cloud/identity", "RegionOne")


FULL = Record(
    "paris",
    CLOUD,
    "2026-01-01T00:00:00+00:00",
    False,
    desired(flavors=(flavor(), flavor("public", None), flavor("nobody", ()))),
    (
        RecordEntry(ResourceKind.FLAVOR, "gpu.h100.1", id="1"),
        RecordEntry(ResourceKind.TRAIT, "CUSTOM_A"),
    ),
)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "fleet.applied.yaml"


def test_a_record_is_read_as_it_was_written(path):
    record.save(path, FULL)
    assert record.load(path) == FULL


@given(
    st.builds(
        Record,
        st.text(min_size=1),
        st.builds(CloudIdentity, st.text(), st.text()),
        entries=st.lists(st.from_type(RecordEntry)).map(tuple),
        desired=st.builds(
            DesiredState,
            st.text(),
            flavors=st.lists(st.from_type(Flavor)).map(tuple),
        ),
    )
)
def test_every_record_is_plain_data_that_the_schema_allows(made):
    import jsonschema

    from nova_gpu_passthrough.files import documents

    rules = documents.schema("nova_gpu_passthrough.cloud.apply", "record-v1.json")
    jsonschema.validate(json.loads(json.dumps(record.to_document(made))), rules)


def test_the_schema_is_valid():
    import jsonschema

    from nova_gpu_passthrough.files import documents

    rules = documents.schema("nova_gpu_passthrough.cloud.apply", "record-v1.json")
    jsonschema.Draft202012Validator.check_schema(rules)


def test_a_missing_record_is_none(path):
    assert record.load(path) is None


def test_an_invalid_file_is_refused_with_line_and_key(path):
    record.save(path, FULL)
    path.write_text(path.read_text().replace("origin: created", "").replace("flavor\n", "car\n"))
    with pytest.raises(UserError, match=r"key entries\[0\].kind: must be .*, not 'car'"):
        record.load(path)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"fleet": "rome"}, "key fleet: this is the record of fleet rome, not of paris"),
        (
            {"cloud": CloudIdentity("http://other")},
            "key cloud: this is the record of the cloud at http://o",
        ),
        (
            {"cloud": CloudIdentity(CLOUD.auth_url, "Two")},
            "region Two, not of the one at http://cloud",
        ),
    ],
)
def test_the_record_of_another_fleet_or_cloud_is_refused(changes, words):
    other = dataclasses.replace(FULL, **changes)
    with pytest.raises(UserError, match=words):
        other.check("paris", CLOUD, Path("r"))


def test_the_matching_record_is_accepted():
    FULL.check("paris", CLOUD, Path("r"))


def test_the_record_is_beside_the_fleet_file():
    assert record.default_path(Path("a/fleet.yaml")) == Path("a/fleet.applied.yaml")


def test_the_cloud_identity_has_no_version_and_no_password(cloud):
    auth = {
        "auth_url": "http://me:secret@cloud/identity/v3/",
        "username": "admin",
        "password": "x",
        "project_name": "admin",
    }
    from openstack.config import OpenStackConfig
    from openstack.connection import Connection

    config = OpenStackConfig(load_yaml_config=False, load_envvars=False)
    region = config.get_one(auth=auth, region_name="RegionOne")
    assert record.cloud_identity(Connection(config=region)) == CLOUD


def test_two_runs_cannot_lock_one_record(path):
    with (
        record.locked(path),
        pytest.raises(UserError, match="another nova-gpu apply"),
        record.locked(path),
    ):
        pass
    with record.locked(path):
        pass
    assert list(path.parent.iterdir()) == []


def test_a_missing_directory_is_an_error(tmp_path):
    path = tmp_path / "gone" / "r.yaml"
    with pytest.raises(UserError, match="No such file or directory"), record.locked(path):
        pass


KEY = RecordKey(ResourceKind.FLAVOR, "f")


def _reconcile(entry=None, object_id=None, exists=True, desired=True):
    known = {entry.key: entry} if entry else {}
    existing = {KEY: object_id} if exists else {}
    return list(reconcile_entries(known, existing, {KEY} if desired else set()))


def test_an_existing_object_without_entry_is_adopted():
    assert _reconcile(object_id="1") == [RecordEntry(*KEY, "1", Origin.ADOPTED)]


def test_an_existing_object_that_is_not_desired_gets_no_entry():
    assert _reconcile(object_id="1", desired=False) == []


@pytest.mark.parametrize("desired", [True, False])
def test_the_entry_of_an_existing_object_is_kept(desired):
    entry = RecordEntry(*KEY, "1")
    assert _reconcile(entry, "1", desired=desired) == [entry]


def test_another_object_of_the_same_name_is_adopted():
    assert _reconcile(RecordEntry(*KEY, "1"), "2") == [RecordEntry(*KEY, "2", Origin.ADOPTED)]
    assert _reconcile(RecordEntry(*KEY, "1"), "2", desired=False) == []


def test_a_pending_object_stays_pending_and_gets_its_id():
    assert _reconcile(RecordEntry(*KEY, None, Origin.PENDING), "1") == [
        RecordEntry(*KEY, "1", Origin.PENDING)
    ]


def test_the_entry_of_a_deleted_object_is_kept_only_while_it_is_desired():
    entry = RecordEntry(*KEY, "1")
    assert _reconcile(entry, exists=False) == [entry]
    assert _reconcile(entry, exists=False, desired=False) == []


def test_a_complete_object_is_created_unless_it_was_adopted():
    assert mark_complete(RecordEntry(*KEY, "1", Origin.PENDING)).origin is Origin.CREATED
    assert mark_complete(RecordEntry(*KEY, "1", Origin.ADOPTED)).origin is Origin.ADOPTED


EMPTY = Record("paris", CloudIdentity("http://cloud"))


FLAVOR = RecordEntry(ResourceKind.FLAVOR, "f", id="1")


@pytest.fixture
def saved():
    return []


@pytest.fixture
def ledger(saved):
    return Ledger(EMPTY, saved.append)


def _origin(ledger):
    return ledger.entry(FLAVOR.key).origin


def test_each_change_is_saved_immediately(ledger, saved):
    ledger.mark_pending(FLAVOR)
    ledger.mark_created(FLAVOR)
    ledger.remove(FLAVOR.key)
    assert [[entry.origin for entry in record.entries] for record in saved] == [
        [Origin.PENDING],
        [Origin.CREATED],
        [],
    ]


def test_nothing_is_saved_without_a_change(ledger, saved):
    ledger.replace(EMPTY)
    ledger.remove(FLAVOR.key)
    assert saved == []


def test_a_pending_object_that_existed_already_is_adopted(ledger):
    ledger.mark_pending(FLAVOR)
    ledger.mark_adopted(FLAVOR)
    assert _origin(ledger) is Origin.ADOPTED


def test_an_adopted_object_stays_adopted_when_it_is_created_again(ledger):
    ledger.mark_adopted(FLAVOR)
    ledger.mark_pending(FLAVOR)
    ledger.mark_created(dataclasses.replace(FLAVOR, id="2"))
    assert ledger.entry(FLAVOR.key) == dataclasses.replace(FLAVOR, id="2", origin=Origin.ADOPTED)


def test_entries_are_sorted(ledger):
    other = RecordEntry(ResourceKind.AGGREGATE, "g")
    ledger.mark_created(FLAVOR)
    ledger.mark_created(other)
    assert [entry.name for entry in ledger.record.entries] == ["g", "f"]
