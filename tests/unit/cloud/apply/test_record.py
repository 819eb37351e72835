# SPDX-License-Identifier: Apache-2.0
import dataclasses
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nova_gpu_passthrough.cloud.apply import record
from nova_gpu_passthrough.cloud.apply.change import Entry, Kind
from nova_gpu_passthrough.cloud.apply.record import Cloud, Record
from nova_gpu_passthrough.errors import UserError
from nova_gpu_passthrough.fleet.desired import Desired, Flavor
from tests.unit.cloud.apply.builders import desired, flavor

CLOUD = Cloud("http://cloud/identity", "RegionOne")
FULL = Record(
    "paris",
    CLOUD,
    "2026-01-01T00:00:00+00:00",
    False,
    desired(flavors=(flavor(), flavor("public", None), flavor("nobody", ()))),
    (Entry(Kind.FLAVOR, "gpu.h100.1", id="1"), Entry(Kind.TRAIT, "CUSTOM_A")),
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
        st.builds(Cloud, st.text(), st.text()),
        entries=st.lists(st.from_type(Entry)).map(tuple),
        desired=st.builds(
            Desired,
            st.text(),
            flavors=st.lists(st.from_type(Flavor)).map(tuple),
        ),
    )
)
def test_whatever_it_holds_is_plain_data_that_its_schema_allows(made):
    import jsonschema

    from nova_gpu_passthrough.files import documents

    rules = documents.schema("nova_gpu_passthrough.cloud.apply", "record-v1.json")
    jsonschema.validate(json.loads(json.dumps(record.to_document(made))), rules)


def test_the_schema_is_one():
    import jsonschema

    from nova_gpu_passthrough.files import documents

    rules = documents.schema("nova_gpu_passthrough.cloud.apply", "record-v1.json")
    jsonschema.Draft202012Validator.check_schema(rules)


def test_there_may_be_no_record_yet(path):
    assert record.load(path) is None


def test_a_file_that_is_something_else_is_refused_with_line_and_key(path):
    record.save(path, FULL)
    path.write_text(path.read_text().replace("origin: created", "").replace("flavor\n", "car\n"))
    with pytest.raises(UserError, match=r"fleet.applied.yaml:\d+: key entries\[0\].kind: 'car'"):
        record.load(path)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"fleet": "rome"}, "key fleet: it is the record of fleet rome, not of paris"),
        ({"cloud": Cloud("http://other")}, "key cloud: it is the record of the cloud at http://o"),
        ({"cloud": Cloud(CLOUD.auth_url, "Two")}, "region Two, not of the one at http://cloud"),
    ],
)
def test_a_record_of_something_else_is_refused(changes, words):
    other = dataclasses.replace(FULL, **changes)
    with pytest.raises(UserError, match=words):
        other.check("paris", CLOUD, Path("r"))


def test_the_right_record_is_taken():
    FULL.check("paris", CLOUD, Path("r"))


def test_it_is_beside_the_fleet_file():
    assert record.default_path(Path("a/fleet.yaml")) == Path("a/fleet.applied.yaml")


def test_the_cloud_is_named_without_version_and_without_passwords(cloud):
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
    assert record.cloud_of(Connection(config=region)) == CLOUD


def test_two_at_once_do_not_share_a_record(path):
    with (
        record.locked(path),
        pytest.raises(UserError, match="another nova-gpu apply"),
        record.locked(path),
    ):
        pass
    with record.locked(path):
        pass
    assert list(path.parent.iterdir()) == []


def test_a_directory_that_is_not_there_is_told(tmp_path):
    path = tmp_path / "gone" / "r.yaml"
    with pytest.raises(UserError, match="No such file or directory"), record.locked(path):
        pass
