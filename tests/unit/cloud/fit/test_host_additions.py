# SPDX-License-Identifier: Apache-2.0
"""Empty hosts are added to the cloud by the name of a host, an inventory or a GPU model."""

import dataclasses

import pytest

from nova_gpu_passthrough.cloud.fit import capacity, host_additions
from nova_gpu_passthrough.cloud.view.model import DeviceState
from nova_gpu_passthrough.errors import UserError
from nova_gpu_passthrough.inventory import store
from tests.unit.cloud import builders, clouds
from tests.unit.generate import builders as inventories

FLEET = clouds.fleet(
    inventories.hgx("hgx1"), inventories.hgx("hgx2"), inventories.l40s("l40s1", audio=False)
)
GPUS = [f"0000:{bus:02x}:00.0" for bus in range(0x20, 0x28)]
ONE = builders.flavor("one")
EIGHT = builders.flavor("eight", 8, 24, hw__numa_nodes="2")
LONE = builders.flavor("lone", alias="l40s")


def view(**changes):
    """A cloud whose first host is full and disabled, and whose second host has free GPUs."""
    states = dict.fromkeys(GPUS, DeviceState.IN_USE)
    states[GPUS[0]] = DeviceState.RESERVED
    states[GPUS[1]] = DeviceState.MISSING
    busy = builders.server("busy", 0, range(2, 8))
    first = builders.host(FLEET, "hgx1", states, [busy])
    first = dataclasses.replace(
        first,
        enabled=False,
        up=False,
        traits=first.traits | {"COMPUTE_STATUS_DISABLED"},
        aggregates={"gpu": {"k": "v"}},
    )
    second = builders.host(FLEET, "hgx2", dict.fromkeys(GPUS[:4], DeviceState.IN_USE))
    return builders.view(
        first, second, builders.host(FLEET, "l40s1"), flavors=[ONE, EIGHT, LONE], **changes
    )


def servers(additions):
    counted = capacity.count(additions.view, FLEET)
    return {
        one.flavor: (one.servers, sum(one.by_host[name] for name in additions.names))
        for one in counted.flavors
    }


def test_hosts_like_one_of_the_cloud_are_empty_and_take_servers():
    additions = host_additions.add(view(), FLEET, ["2xhgx1"])
    assert additions.names == {"hgx1+1", "hgx1+2"}
    assert servers(additions) == {"one": (4 + 16, 16), "eight": (2, 2), "lone": (4, 0)}
    added = next(host for host in additions.view.hosts if host.name == "hgx1+1")
    assert (added.servers, added.aggregates) == ((), {"gpu": {"k": "v"}})
    assert {gpu.state for gpu in added.gpus} == {DeviceState.FREE}
    assert {gpu.host for gpu in added.devices} == {"hgx1+1"}
    assert all(resource.used == 0 for resource in added.resources.values())
    assert additions.notes == (
        "--add 2xhgx1: empty hosts like hgx1 (8 H100-SXM, 24 PCPU, 16 VCPU, 501 GiB)",
    )


def test_a_name_that_is_taken_is_not_given_twice():
    additions = host_additions.add(view(), FLEET, ["1xhgx1", "1xhgx1"])
    assert additions.names == {"hgx1+1", "hgx1+2"}


def test_hosts_as_an_inventory_describes(tmp_path):
    file = tmp_path / "new.yaml"
    file.write_text(store.dump(inventories.hgx("new"), "test"))
    additions = host_additions.add(view(), FLEET, [f"3x{file}"])
    assert additions.names == {"new+1", "new+2", "new+3"}
    assert servers(additions)["one"] == (4 + 24, 24)
    (note,) = additions.notes
    assert "as the inventory of new describes (8 H100-SXM, 24 PCPU, " in note
    assert note.endswith("with disk, traits and aggregates of hgx1")


def test_settings_for_other_hosts_do_not_matter_for_an_inventory(tmp_path):
    file = tmp_path / "new.yaml"
    file.write_text(store.dump(inventories.hgx("new"), "test"))
    settings = dataclasses.replace(
        FLEET.settings, exclude=("hgx1/0000:20:00.0", "0000:21:00.0", "0000:ff:00.0")
    )
    fleet = dataclasses.replace(FLEET, settings=settings)
    additions = host_additions.add(view(), fleet, [f"1x{file}"])
    (added,) = (host for host in additions.view.hosts if host.name == "new+1")
    assert [gpu.address for gpu in added.gpus] == [GPUS[0], *GPUS[2:]]


def test_hosts_of_the_fleet_that_the_cloud_does_not_have():
    whole = view()
    gone = dataclasses.replace(whole.hosts[1], known=False, provider=None, resources={})
    whole = dataclasses.replace(whole, hosts=(whole.hosts[0], gone, whole.hosts[2]))
    additions = host_additions.add(whole, FLEET, ["1xhgx2"])
    assert additions.names == {"hgx2+1"}
    assert servers(additions)["eight"] == (1, 1)
    assert "as the inventory of hgx2 describes" in additions.notes[0]


@pytest.mark.parametrize("name", ["L40S", "l40s"])
def test_hosts_with_a_model_of_which_all_hosts_are_alike(name):
    additions = host_additions.add(view(), FLEET, [f"1x{name}"])
    assert additions.names == {"l40s1+1"}
    assert servers(additions)["lone"] == (8, 4)
    assert additions.notes[0].endswith(f", the host with {name}")


@pytest.mark.parametrize("name", ["HGX-H100", "H100-SXM-8", "h100"])
def test_hosts_with_a_board(name):
    assert servers(host_additions.add(view(), FLEET, [f"1x{name}"]))["eight"] == (1, 1)


def test_hosts_with_a_model_that_differ_are_an_error():
    whole = view()
    smaller = dataclasses.replace(whole.hosts[1], devices=whole.hosts[1].devices[:4])
    whole = dataclasses.replace(whole, hosts=(whole.hosts[0], smaller))
    with pytest.raises(UserError) as error:
        host_additions.add(whole, FLEET, ["1xH100-SXM"])
    assert str(error.value) == (
        "--add 1xH100-SXM: hosts with H100-SXM differ, name one of them: hgx1 (8 H100-SXM, "
        "24 PCPU, 16 VCPU, 501 GiB) or hgx2 (4 H100-SXM, 24 PCPU, 16 VCPU, 501 GiB)"
    )


@pytest.mark.parametrize(
    ("word", "words"),
    [
        ("hgx1", "expected COUNTxNAME, such as 2xgpu01"),
        ("0xhgx1", "expected COUNTxNAME"),
        ("9999999xhgx1", "expected COUNTxNAME"),
        ("2xhgx3", "no host, file, GPU model or board is named hgx3; did you mean hgx2?"),
        ("2xqq", "no host, file, GPU model or board is named qq, such as hgx1"),
        ("2xB200", "no host of the cloud has B200, so its CPUs and memory are not known"),
        ("2xHGX-B200", "no host of the cloud has HGX-B200"),
        ("2xmissing.yaml", "missing.yaml"),
    ],
)
def test_invalid_words(word, words):
    with pytest.raises(UserError) as error:
        host_additions.add(view(), FLEET, [word])
    assert words in str(error.value)


def test_an_inventory_with_other_gpus_needs_the_fleet_file(tmp_path):
    file = tmp_path / "new.yaml"
    file.write_text(store.dump(inventories.hgx("new"), "test"))
    only = dataclasses.replace(view(), hosts=view().hosts[2:])
    with pytest.raises(UserError) as error:
        host_additions.add(only, FLEET, [f"1x{file}"])
    assert "the cloud has no host with H100-SXM" in str(error.value)


def test_nothing_is_added_without_words():
    assert host_additions.add(view(), FLEET, []) == host_additions.HostAdditions(view())
