# SPDX-License-Identifier: Apache-2.0
"""Reading Nova's PCI pools, well-formed and malformed."""

import pytest
from hypothesis import event, example, given, settings

from nova_gpu_passthrough.scheduler import pools
from nova_gpu_passthrough.scheduler.pools import MalformedPoolError, Pool
from tests.unit import builders, strategies
from tests.unit.builders import AUDIO, H100, NIC, pool


def read_one(**changes):
    raw = pool(1)
    raw.update(changes)
    (read,) = pools.read([raw])
    return read


@settings(max_examples=250)
@given(strategies.broken_pools())
@example([])
@example([None])
@example([{**pool(1), "count": 10**30}])
@example([{**pool(1), "gpu_model": {}}])
@example([{**pool(1), "gpu_link_group": "a//b"}])
def test_malformed_pools_are_read_or_refused_with_a_message(data):
    try:
        read = pools.read(data)
    except MalformedPoolError as error:
        event("refused")
        text = str(error)
        assert "PCI pool" in text
        if isinstance(data, list) and all(isinstance(raw, dict) for raw in data):
            assert any(str(raw.get("address") or raw.get("vendor_id")) in text for raw in data)
        return
    event("read")
    assert all(type(item) is Pool and item.free > 0 for item in read)
    for item in read:
        assert len(item.gpus()) == len(set(item.gpus())) == min(item.free, 64)
        assert len(item.devices(3)) == min(item.free, 3)
        hash((item.gpus()[0], item.devices(1)[0]))
        item.serves([H100, {}])


@settings(max_examples=200)
@given(strategies.json_values)
def test_the_model_of_a_malformed_pool_is_a_name_or_none(data):
    assert isinstance(pools.model_of(data), str | None)


@pytest.mark.parametrize(
    "changes, problem",
    [
        ({"count": -1}, "count is -1, expected 0 or more"),
        ({"count": "8"}, "count is '8', expected"),
        ({"count": True}, "count is True, expected"),
        ({"count": None}, "count is None, expected"),
        ({"numa_node": "0"}, "numa_node is '0', expected a number or None"),
        ({"vendor_id": 4318}, "vendor_id"),
        ({"product_id": None}, "product_id"),
        ({"rp_uuid": 7}, "rp_uuid"),
        ({"gpu_modle": "H100"}, "tag gpu_modle is unknown, expected one of gpu_model"),
        ({"gpu_model": ""}, "tag gpu_model is '', expected a name"),
        ({"gpu_card": None}, "tag gpu_card is None, expected a name"),
        ({"gpu_switch": 3}, "tag gpu_switch is 3, expected a name"),
        ({"gpu_link_group": "a//b"}, "tag gpu_link_group is 'a//b', expected a name"),
        ({"gpu_link_group": ["a"]}, "tag gpu_link_group is ['a'], expected a name"),
    ],
)
def test_the_error_names_the_address_and_the_problem(changes, problem):
    with pytest.raises(MalformedPoolError) as caught:
        read_one(**changes)
    assert "0000:01:00.0" in str(caught.value)
    assert problem in str(caught.value)


@pytest.mark.parametrize("key", ["vendor_id", "product_id", "count", "numa_node"])
def test_a_missing_key_is_named(key):
    broken = pool(1)
    del broken[key]
    with pytest.raises(MalformedPoolError, match=f"0000:01:00.0 has no '{key}'"):
        pools.read([broken])


def test_a_malformed_address_is_refused():
    with pytest.raises(MalformedPoolError, match="address"):
        read_one(address=17)


def test_a_pool_without_an_address_is_named_by_its_ids():
    old = pool(1, count=-1)
    del old["address"]
    with pytest.raises(MalformedPoolError, match="10de:2330"):
        pools.read([old])


@pytest.mark.parametrize("data", [None, {}, "pools", 5])
def test_pools_must_be_a_list(data):
    with pytest.raises(MalformedPoolError, match="expected a list"):
        pools.read(data)


def test_one_malformed_pool_raises():
    with pytest.raises(MalformedPoolError):
        pools.read([pool(1), pool(2, count=-1)])


def test_pools_without_free_devices_are_skipped():
    assert pools.read([pool(1, count=0)]) == []


def test_the_topology_is_read_from_the_tags():
    read = read_one(gpu_model="X", gpu_link_group="a/b", gpu_switch="s", gpu_card="c", rp_uuid="rp")
    (gpu,) = read.gpus()
    assert gpu == (builders.address(1), "X", 0, ("a", "b"), "s", "c", "rp", 0)


def test_other_tags_are_ignored():
    assert read_one(physical_network="net", one_time_use="true", trusted="yes").free == 1


def test_without_tags_the_model_is_that_of_the_catalogue():
    assert read_one().model == "H100-SXM"
    assert read_one(vendor_id="10DE").model == "H100-SXM"


def test_an_unknown_device_has_no_model():
    (read,) = pools.read([pool(1, NIC)])
    assert read.model is None
    assert read.gpus()[0].model == "15b3:101e"


@pytest.mark.parametrize("node, expected", [(0, 0), (3, 3), (-1, None), (None, None)])
def test_the_kernels_unknown_numa_node_is_none(node, expected):
    assert read_one(numa_node=node).numa_node == expected


def test_vfs_of_one_pf_are_distinct():
    (read,) = pools.read([pool(1, count=3, dev_type="type-VF")])
    assert len(set(read.gpus())) == 3


def test_huge_counts_are_limited():
    read = read_one(count=10**12)
    assert len(read.gpus()) == 64
    assert len(read.devices(5)) == 5


def test_ids_match_in_any_case():
    read = read_one(vendor_id="10DE")
    assert read.serves([H100])
    assert read.serves([AUDIO, H100])
    assert not read.serves([AUDIO])


def test_a_pf_matches_only_if_its_type_is_requested():
    read = read_one(dev_type="type-PF")
    assert not read.serves([H100])
    assert read.serves([{**H100, "dev_type": "type-pf"}])


@pytest.mark.parametrize("raw", [pool(1, gpu_model="Own"), pool(1, NIC, gpu_model="Own")])
def test_the_model_tag_overrides_the_catalogue(raw):
    assert pools.model_of(raw) == "Own"
