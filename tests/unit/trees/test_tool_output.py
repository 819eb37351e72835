# SPDX-License-Identifier: Apache-2.0
"""The output of nvidia-smi is up to date and agrees with the trees."""

import re

import pytest

from tests.trees import a100_pcie, hgx_h100, tool_output


@pytest.mark.parametrize("name", tool_output.contents())
def test_files_are_up_to_date(name):
    assert tool_output.read(name) == tool_output.contents()[name], (
        "run python -m tests.trees.tool_output"
    )


def test_there_are_no_other_files():
    found = {path.name for path in tool_output.FOLDER.iterdir() if path.suffix in (".txt", ".csv")}
    assert found == set(tool_output.contents())


def _matrix(name):
    lines = tool_output.read(name).split("\n\n")[0].splitlines()
    columns = lines[0].split("\t")[1:]
    rows = {}
    for line in lines[1:]:
        head, *cells = line.split("\t")
        assert len(cells) == len(columns) + 1 if cells[-1] == "N/A" else True
        rows[head] = dict(zip(columns, (cell.strip() for cell in cells), strict=False))
    return rows


@pytest.mark.parametrize(
    "name", [name for name in tool_output.contents() if name.startswith("topo")]
)
def test_matrices_are_symmetrical_with_x_on_the_diagonal(name):
    rows = _matrix(name)
    for one, cells in rows.items():
        for other in rows:
            assert cells[other] == rows[other][one]
            assert (cells[other] == "X") == (one == other)


def test_the_matrix_of_hgx_names_numa_node_and_nic_of_the_tree():
    rows = _matrix("topo-m-hgx-h100.txt")
    machine = hgx_h100.machine()
    for index, gpu in enumerate(machine.gpus()):
        node = machine.location(gpu.address).numa_node
        assert rows[f"GPU{index}"]["NUMA Affinity"] == str(node)
    linked = {rows[f"GPU{a}"][f"GPU{b}"] for a in range(8) for b in range(8) if a != b}
    assert linked == {"NV18"}
    beside = [[nic for nic, kind in rows[f"GPU{n}"].items() if kind == "PIX"] for n in range(8)]
    assert beside == [[f"NIC{n}"] for n in (0, 1, 2, 5, 6, 7, 8, 9)]


def test_bridged_cards_are_linked_in_pairs_only():
    rows = _matrix("topo-m-a100-pcie-nvlink-bridge-pairs.txt")
    linked = {
        (a, b) for a in range(4) for b in range(a + 1, 4) if rows[f"GPU{a}"][f"GPU{b}"] == "NV12"
    }
    assert linked == set(a100_pcie.BRIDGES)


@pytest.mark.parametrize(
    ("name", "machine", "links"),
    [
        ("nvlink-remote-hgx-h100.txt", hgx_h100.machine(), 18),
        ("nvlink-remote-a100-pcie-nvlink-bridge-pairs.txt", a100_pcie.machine(), 12),
    ],
)
def test_remote_ends_are_devices_of_the_tree_and_each_is_used_once(name, machine, links):
    text = tool_output.read(name)
    found = re.findall(r"Remote Device 0000(\S+): Link (\d+)", text)
    assert len(found) == links * len(machine.gpus())
    assert len(set(found)) == len(found)
    assert {address.lower() for address, _ in found} <= set(machine.devices())


def test_indexes_are_mapped_to_addresses_in_the_order_of_the_bus():
    rows = tool_output.read("query-gpu-hgx-h100.csv").splitlines()[1:]
    addresses = [row.split(", ")[1].lower()[4:] for row in rows]
    assert addresses == sorted(addresses)
    assert addresses == [gpu.address for gpu in hgx_h100.machine().gpus()]
