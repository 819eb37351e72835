# SPDX-License-Identifier: Apache-2.0
"""The sources of link groups, their order, and the findings about them."""

import dataclasses
import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nova_gpu_passthrough.errors import UserError
from nova_gpu_passthrough.host import saved_output
from nova_gpu_passthrough.host.classify import gpus_of
from nova_gpu_passthrough.host.links import link_groups
from nova_gpu_passthrough.inventory.findings import Severity
from tests.unit.host.links import hosts, test_partitions

ALL = hosts.addresses()
MODULES = dict(zip(ALL, hosts.MODULES, strict=True))


def find(devices, *texts, **sources):
    outputs = [
        saved_output.parse_links(text, f"saved{number}") for number, text in enumerate(texts)
    ]
    return link_groups.find(devices, gpus_of(devices, {}), outputs, **sources)


def ids(links):
    return {finding.id for finding in links.findings}


def groups(links):
    """Return the addresses by path."""
    result = {}
    for address, path in sorted(links.paths.items()):
        result.setdefault("/".join(path), []).append(address)
    return result


def test_the_catalogue_joins_an_hgx_board():
    links = find(hosts.hgx_h100())
    assert groups(links) == {"nvs0": ALL}
    assert set(links.sources.values()) == {"catalogue"}
    assert links.peers == {}
    assert ids(links) == {"fabric.group", "fabric.partitions_unknown", "fabric.host"}


def test_gpus_get_their_links():
    devices = hosts.hgx_h100()
    (first, *_) = find(devices).applied_to(gpus_of(devices, {}))
    assert (first.link_group, first.link_source, first.peers) == (("nvs0",), "catalogue", ())


def test_partitions_follow_module_ids_not_addresses():
    """The machine in NVIDIA's integration guide, with the pairs of modules 1,3 2,4 5,7 6,8."""
    links = find(hosts.hgx_h100(), hosts.module_ids(MODULES))
    assert groups(links) == {
        "nvs0/q0/p0": ["0000:86:00.0", "0000:87:00.0"],
        "nvs0/q0/p1": ["0000:b8:00.0", "0000:bb:00.0"],
        "nvs0/q1/p0": ["0000:0f:00.0", "0000:10:00.0"],
        "nvs0/q1/p1": ["0000:41:00.0", "0000:44:00.0"],
    }
    assert "fabric.partitions" in ids(links)
    assert set(links.sources.values()) == {"catalogue"}


def test_the_fabric_managers_list_overrides_the_catalogues():
    blocks = [range(1, 9), range(1, 5), range(5, 9), (1, 2), (3, 4), (5, 6), (7, 8)]
    document = test_partitions.document(*blocks)
    for partition in document["partitionInfo"]:
        for gpu in partition["gpuInfo"]:
            gpu["pciBusId"] = next(a for a, m in MODULES.items() if m == gpu["physicalId"]).upper()
    links = find(hosts.hgx_h100(), json.dumps(document))
    assert groups(links)["nvs0/q0/p0"] == ["0000:86:00.0", "0000:b8:00.0"]


def test_partitions_of_an_a100_board_come_from_the_fabric_managers_list():
    devices = hosts.gpus("10de:20b2") + hosts.nvswitches("10de:1af1", 6, "nvidia-nvswitch")
    links = find(devices, hosts.module_ids(MODULES))
    assert groups(links) == {"nvs0": ALL}
    assert "fabric.partitions_unknown" in ids(links)


@pytest.mark.parametrize(
    "ids_of, name",
    [("10de:2901", "nvs0"), ("1002:74a1", "xgmi0"), ("1002:75a3", "xgmi0")],
)
def test_boards_without_switches_on_pci(ids_of, name):
    assert groups(find(hosts.gpus(ids_of))) == {name: ALL}


def test_four_a100_without_switches_are_joined_directly():
    links = find(hosts.gpus("10de:20b2", 4))
    assert groups(links) == {"nvl0": hosts.addresses(4)}
    assert ids(links) == {"fabric.group"}


def test_b200_boards_need_their_bridge_functions():
    assert "fabric.control" in ids(find(hosts.gpus("10de:2901")))


@pytest.mark.parametrize(
    "driver, expected",
    [
        ("nvidia-nvswitch", "fabric.host"),
        ("vfio-pci", "fabric.guest"),
        (None, "fabric.unmanaged"),
    ],
)
def test_the_nvswitch_drivers_decide_where_the_fabric_manager_runs(driver, expected):
    assert expected in ids(find(hosts.hgx_h100(driver)))


def test_a_board_with_missing_devices_is_recognised():
    links = find(hosts.hgx_h100(gpu_count=7, switch_count=3))
    assert groups(links) == {"nvs0": hosts.addresses(7)}
    assert {"fabric.gpu_missing", "fabric.switch_missing"} <= ids(links)


def test_nvswitches_of_an_unknown_board_are_reported():
    devices = hosts.gpus("10de:26b9", 2) + hosts.nvswitches("10de:ffff", 2)
    assert "fabric.unmanaged" in ids(find(devices))


def test_plain_cards_have_no_links_and_no_findings():
    links = find(hosts.gpus("10de:26b9", 4))
    assert (links.paths, links.findings) == ({}, ())


def test_cards_that_support_bridges_are_unknown():
    links = find(hosts.gpus("10de:2321", 4))
    assert links.paths == {}
    assert ids(links) == {"fabric.unknown"}
    assert ids(find(hosts.gpus("10de:2321", 1))) == set()


def test_nvidia_smi_identifies_bridges():
    matrix = hosts.matrix(4, {(0, 1): "NV12", (2, 3): "NV12"})
    addresses = hosts.query(dict(enumerate(hosts.addresses(4))))
    links = find(hosts.gpus("10de:2321", 4), matrix, addresses)
    assert groups(links) == {"nvl0": hosts.addresses(4)[:2], "nvl1": hosts.addresses(4)[2:]}
    assert set(links.sources.values()) == {"saved0, saved1"}
    assert links.peers[ALL[0]] == (ALL[1],)
    assert ids(links) == {"fabric.group"}


def test_indexes_may_have_any_order_of_addresses():
    a, b, c, d = hosts.addresses(4)
    matrix = hosts.matrix(4, {(0, 1): "NV12", (2, 3): "NV12"})
    links = find(hosts.gpus("10de:2321", 4), matrix, hosts.query({0: d, 1: a, 2: b, 3: c}))
    assert groups(links) == {"nvl0": [a, d], "nvl1": [b, c]}


def test_without_addresses_the_order_is_assumed_and_reported():
    matrix = hosts.matrix(4, {(0, 1): "NV12", (2, 3): "NV12"})
    links = find(hosts.gpus("10de:2321", 4), matrix)
    assert groups(links) == {"nvl0": hosts.addresses(4)[:2], "nvl1": hosts.addresses(4)[2:]}
    assert "fabric.order_assumed" in ids(links)


def test_the_order_does_not_matter_if_all_or_none_are_joined():
    assert "fabric.order_assumed" not in ids(
        find(hosts.hgx_h100(), hosts.matrix(8, hosts.every_pair(8)))
    )
    assert ids(find(hosts.gpus("10de:2321", 4), hosts.matrix(4, {}))) == {"fabric.none"}


@pytest.mark.parametrize(
    "saved",
    [
        [hosts.matrix(8, hosts.every_pair(8))],
        [hosts.matrix(2, {(0, 1): "NV4"})],
        [hosts.matrix(4, {}), hosts.query({i: f"0000:e{i}:00.0" for i in range(4)})],
        [hosts.matrix(4, {}), hosts.query(dict(enumerate(hosts.addresses(3))))],
        [
            "GPU 0: H100 (UUID: GPU-1)\n\t Link 0: Remote Device 00000000:D5:00.0: Link 0\n",
            hosts.query({0: hosts.addresses(1)[0]}),
        ],
    ],
    ids=["more GPUs", "fewer GPUs", "other addresses", "an address missing", "other far ends"],
)
def test_an_output_of_another_host_is_not_used(saved):
    links = find(hosts.gpus("10de:2321", 4), *saved)
    assert links.paths == {}
    assert {"fabric.other_host", "fabric.unknown"} <= ids(links)


def test_an_output_about_some_gpus_leaves_the_others_unknown():
    some = dict(enumerate(hosts.addresses(2)))
    links = find(hosts.gpus("10de:2321", 4), hosts.matrix(2, {(0, 1): "NV12"}), hosts.query(some))
    assert groups(links) == {"nvl0": hosts.addresses(2)}
    assert {"fabric.text_partial", "fabric.unknown"} <= ids(links)


def test_an_output_that_contradicts_the_board_is_used_and_reported():
    links = find(hosts.hgx_h100(), hosts.matrix(8, {}))
    assert links.paths == {}
    assert {"fabric.contradicts", "fabric.none"} <= ids(links)


def test_module_ids_of_another_machine_are_not_used():
    strange = hosts.module_ids({"0000:e1:00.0": 1, "0000:e2:00.0": 2})
    links = find(hosts.hgx_h100(), strange)
    assert groups(links) == {"nvs0": ALL}
    assert {"fabric.modules", "fabric.partitions_unknown"} <= ids(links)


def remote(ends):
    """Return ``nvidia-smi nvlink -R`` with these far ends by index."""
    lines = []
    for index, addresses in ends.items():
        lines.append(f"GPU {index}: NVIDIA H100 (UUID: GPU-{index})")
        lines += [
            f"\t Link {link}: Remote Device 0000{address.upper()}: Link 0"
            for link, address in enumerate(addresses)
        ]
    return "\n".join(lines) + "\n"


def test_far_ends_identify_bridges():
    a, b, c, d = hosts.addresses(4)
    links = find(hosts.gpus("10de:2331", 4), remote({0: [d, d], 1: [c], 2: [b], 3: [a]}))
    assert groups(links) == {"nvl0": [a, d], "nvl1": [b, c]}


def test_far_ends_that_do_not_match_are_not_used():
    a, b, c, _ = hosts.addresses(4)
    links = find(hosts.gpus("10de:2331", 4), remote({0: [b], 1: [c], 2: [a], 3: []}))
    assert links.paths == {}
    assert "fabric.other_host" in ids(links)


def test_far_ends_at_switches_join():
    devices = hosts.gpus("10de:ffff", 4) + hosts.nvswitches("10de:fffe", 2)
    switch = "0000:03:00.0"
    assert groups(find(devices, remote({i: [switch] for i in range(4)}))) == {
        "nvs0": hosts.addresses(4)
    }


def test_far_ends_at_switches_that_are_no_pci_functions_join():
    text = remote({i: ["ffffffff:ff:ff.0"] for i in range(4)}).replace("0000ffff", "ffff")
    text = text.replace("0000FFFFFFFF", "FFFFFFFF")
    assert groups(find(hosts.gpus("10de:ffff", 4), text)) == {"nvs0": hosts.addresses(4)}


def test_far_ends_do_not_hide_links_between_switches():
    """The boards of a DGX-2 share no switch: only a matrix or the catalogue joins them."""
    gpus = [hosts.function(f"0000:{bus:02x}:00.0", "10de:1db8") for bus in range(0x30, 0x40)]
    switches = hosts.nvswitches("10de:1ac2", 12)
    ends = {i: [switches[i // 8].address] for i in range(16)}
    links = find(gpus + switches, remote(ends))
    assert groups(links) == {"nvs0": [gpu.address for gpu in gpus]}
    assert "fabric.contradicts" not in ids(links)


def test_links_that_are_down():
    status = "GPU 0: H100 (UUID: GPU-0)\n\t Link 0: 26.562 GB/s\n\t Link 1: <inactive>\n"
    links = find(
        hosts.gpus("10de:2321", 2),
        hosts.matrix(2, {(0, 1): "NV12"}),
        status,
    )
    (down,) = [finding for finding in links.findings if finding.id == "fabric.down"]
    assert (down.subject, down.found) == (ALL[0], "1 of 2 links are inactive")


def test_a_card_without_a_bridge_has_no_links_that_are_down():
    status = (
        "GPU 0: H100 (UUID: GPU-0)\n"
        "NVML: Unable to retrieve NVLink information as all links are inActive\n"
    )
    assert "fabric.down" not in ids(find(hosts.gpus("10de:2321", 1), status))
    board = hosts.gpus("10de:20b2", 4)
    query = hosts.query(dict(enumerate(hosts.addresses(4))))
    assert "fabric.down" in ids(find(board, status, query))


def test_hives_join():
    first, second = hosts.addresses()[:4], hosts.addresses()[4:]
    hives = {**dict.fromkeys(first, "7"), **dict.fromkeys(second, "3")}
    links = find(hosts.gpus("1002:740c"), hives=hives)
    assert groups(links) == {"xgmi0": first, "xgmi1": second}
    assert set(links.sources.values()) == {"xgmi"}
    assert links.peers[first[0]] == tuple(first[1:])


def test_an_output_overrides_hives():
    links = find(
        hosts.gpus("1002:740f", 2),
        "GPU[0]\t\t: PCI Bus: 0000:0F:00.0\nGPU[1]\t\t: PCI Bus: 0000:10:00.0\n"
        "==== Link Type between two GPUs ====\n GPU0 GPU1\nGPU0 0 PCIE\nGPU1 PCIE 0\n",
        hives=dict.fromkeys(hosts.addresses(2), "7"),
    )
    assert links.paths == {}


def test_peers_from_hwloc_join():
    devices = hosts.gpus("10de:2321", 4)
    a, b, c, d = hosts.addresses(4)
    gpus = hosts.gpus_with_peers(devices, {a: [b], b: [a]})
    links = link_groups.find(devices, gpus)
    assert groups(links) == {"nvl0": [a, b]}
    assert set(links.sources.values()) == {"hwloc"}
    assert [gpu.peers for gpu in links.applied_to(gpus)] == [(b,), (a,), (), ()]


def test_the_operators_groups_override_all_sources():
    a, b, c, d = hosts.addresses(4)
    links = find(
        hosts.gpus("10de:2321", 4),
        hosts.matrix(4, {(0, 1): "NV12", (2, 3): "NV12"}),
        hosts.query(dict(enumerate(hosts.addresses(4)))),
        operator_options=[f"nvl0={a},{c}"],
    )
    assert groups(links) == {"nvl0": [a, c]}
    assert links.sources == {a: "operator", c: "operator"}
    assert "fabric.contradicts" in ids(links)


def test_other_groups_do_not_use_the_operators_names():
    a, b, c, d = hosts.addresses(4)
    links = find(
        hosts.gpus("10de:2321", 4),
        hosts.matrix(4, {(0, 1): "NV12", (2, 3): "NV12"}),
        operator_options=[f"nvl0={a},{b}"],
    )
    assert groups(links) == {"nvl0": [a, b], "nvl1": [c, d]}
    assert "fabric.contradicts" not in ids(links)


def test_the_operator_may_name_partitions_of_a_board():
    halves = [f"nvs0/q0={','.join(ALL[:4])}", f"nvs0/q1={','.join(ALL[4:])}"]
    links = find(hosts.hgx_h100(), operator_options=halves)
    assert groups(links) == {"nvs0/q0": ALL[:4], "nvs0/q1": ALL[4:]}
    assert "fabric.partitions_unknown" not in ids(links)


def test_operator_groups_that_do_not_fit_the_host_are_rejected():
    with pytest.raises(UserError, match="is not a GPU of this host"):
        find(hosts.hgx_h100(), operator_options=["nvs0=0000:03:00.0"])


def test_a_partial_mesh_is_split_and_reported():
    links = find(hosts.gpus("10de:1db1", 3), hosts.matrix(3, {(0, 1): "NV2", (1, 2): "NV1"}))
    assert groups(links) == {"nvl0": hosts.addresses(2)}
    assert "fabric.mesh" in ids(links)


def test_virtual_functions_are_not_counted_with_the_boards_gpus():
    functions = [
        dataclasses.replace(
            hosts.function(f"0000:{bus}:00.1", "1002:74a1"), physical_function=f"0000:{bus}:00.0"
        )
        for bus in hosts.BUSES
    ]
    assert groups(find(hosts.gpus("1002:74a1") + functions)) == {"xgmi0": ALL}


def test_a_host_without_gpus():
    links = find([hosts.function("0000:01:00.0", "15b3:1021", "020000")])
    assert (links.paths, links.findings) == ({}, ())


def test_no_finding_about_links_is_a_failure():
    for driver in ("nvidia", "vfio-pci", None):
        links = find(hosts.hgx_h100(driver, 5, 2), hosts.matrix(5, {(0, 1): "NV18"}))
        assert Severity.FAILURE not in {finding.severity for finding in links.findings}
        for finding in links.findings:
            assert finding.found
            assert finding.source
            if finding.severity is Severity.WARNING:
                assert finding.why
                assert finding.fix


@given(st.permutations(range(8)), st.randoms(use_true_random=False))
def test_the_order_of_functions_and_indexes_does_not_matter(order, rng: random.Random):
    """This holds for functions and for nvidia-smi's indexes."""
    devices = hosts.hgx_h100()
    rng.shuffle(devices)
    joined = dict.fromkeys(hosts.every_pair(8), "NV18")
    addresses = {index: ALL[position] for index, position in enumerate(order)}
    modules = dict(rng.sample(sorted(MODULES.items()), 8))
    expected = find(hosts.hgx_h100(), hosts.module_ids(MODULES))
    found = find(
        devices, hosts.matrix(8, joined), hosts.query(addresses), hosts.module_ids(modules)
    )
    assert found.paths == expected.paths


@given(
    st.integers(2, 8),
    st.data(),
)
def test_groups_of_any_matrix_are_joined_and_named_once(size, data):
    pairs = sorted(hosts.every_pair(size))
    chosen = data.draw(st.lists(st.sampled_from(pairs), unique=True))
    links = find(hosts.gpus("10de:2321", size), hosts.matrix(size, dict.fromkeys(chosen, "NV4")))
    joined = {frozenset((ALL[a], ALL[b])) for a, b in chosen}
    for members in groups(links).values():
        assert len(members) > 1
        assert all(frozenset((a, b)) in joined for a in members for b in members if a < b)
    for address, path in links.paths.items():
        assert links.sources[address] == "saved0"
        assert path[0].startswith("nvl")
