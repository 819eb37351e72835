# SPDX-License-Identifier: Apache-2.0
"""Parsing saved output of nvidia-smi."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nova_gpu_passthrough.errors import UserError
from nova_gpu_passthrough.host.links import nvidia_smi
from tests.unit.host.links import hosts

OVERVIEW = """\
|   0  NVIDIA H200          On  |   00000000:0F:00.0 Off |              0 |
|   1  NVIDIA H200          On  |   00000000:10:00.0 Off |              0 |
"""


def parse(text):
    return nvidia_smi.parse(text, "saved.txt")


def test_a_matrix_has_pairs_and_their_links():
    found = parse(hosts.matrix(4, {(0, 1): "NV12", (2, 3): "NV4", (0, 2): "NODE"}, nics=2))
    assert found.joined == {(0, 1): 12, (2, 3): 4}
    assert found.matrix_gpus == {0, 1, 2, 3}


def test_a_matrix_without_escapes_and_with_older_names_is_read():
    """Drivers of 2017 print SOC, name NICs by their devices, and have no NUMA column."""
    found = parse(
        "        GPU0    GPU1    GPU2    mlx5_0  CPU Affinity\n"
        "GPU0     X      NV1     SOC     PIX     0-19,40-59\n"
        "GPU1    NV1      X      SOC     PIX     0-19,40-59\n"
        "GPU2    SOC     SOC      X      SOC     20-39\n"
        "mlx5_0  PIX     PIX     SOC      X\n"
        "\n"
        "Legend:\n"
    )
    assert found.joined == {(0, 1): 1}
    assert found.matrix_gpus == {0, 1, 2}


def test_a_machine_with_one_gpu_has_a_matrix_too():
    found = parse("\tGPU0\tCPU Affinity\tNUMA Affinity\nGPU0\t X \t0-31\t0\n")
    assert (found.joined, found.matrix_gpus) == ({}, {0})


def test_the_matrix_of_peer_to_peer_access_is_ignored():
    text = " \tGPU0\tGPU1\t\n GPU0\tX\tOK\t\n GPU1\tOK\tX\t\n"
    assert parse(text) is None
    assert parse(hosts.matrix(2, {}) + text).joined == {}
    assert parse(text + hosts.matrix(2, {(0, 1): "NV2"})).joined == {(0, 1): 2}


@pytest.mark.parametrize(
    "text, message",
    [
        ("\tGPU0\tGPU1\nGPU0\t X \tNV2\nGPU1\tNV2\n", "saved.txt:3: row GPU1 has 1 of 2 columns"),
        ("\tGPU0\tGPU1\nGPU0\t X \tNV2\n", "saved.txt:1: the rows of GPU1 are missing"),
        ("\tGPU0\tGPU1\nGPU0\t X \tNVx\nGPU1\tNV2\t X \n", "row GPU0, column GPU1 is 'NVx'"),
        ("\tGPU0\tGPU1\nGPU0\t X \tNV2\nGPU1\t??\t X \n", "row GPU1, column GPU0 is '.."),
        ("\tGPU0\tGPU1\nGPU0\tNV2\t X \nGPU1\tNV2\t X \n", "row GPU0, column GPU0 is 'NV2'"),
        (
            "\tGPU0\tGPU1\nGPU0\t X \tNV2\nGPU1\tSYS\t X \n",
            "GPU0 has 2 links to GPU1, but GPU1 has 0",
        ),
        ("\tGPU0\tGPU1\nGPU0\t X \tNV2\nGPU7\tNV2\t X \n", "row GPU7 has no column in line 1"),
        ("\tGPU0\tGPU0\nGPU0\t X \tNV2\n", "saved.txt:1: a GPU is named twice"),
    ],
)
def test_a_truncated_or_garbled_matrix_is_rejected_with_its_line(text, message):
    with pytest.raises(UserError, match=message.replace("(", r"\(")):
        parse(text)


def test_states_of_links():
    found = parse(
        "GPU 0: NVIDIA H100 80GB HBM3 (UUID: GPU-1)\n"
        "\t Link 0: 26.562 GB/s\n"
        "\t Link 1: <inactive>\n"
        "GPU 1: NVIDIA H100 80GB HBM3 (UUID: GPU-2)\n"
        "NVML: Unable to retrieve NVLink information as all links are inActive\n"
    )
    assert found.links == {0: {0: True, 1: False}, 1: {}}
    assert found.joined is None


def test_far_ends_with_and_without_link_numbers():
    found = parse(
        "GPU 0: NVIDIA H100 PCIe (UUID: GPU-1)\n"
        "\t Link 0: Remote Device 00000000:D5:00.0: Link 0\n"
        "\t Link 1: Remote Device FFFFFFFF:FF:FF.0: Link 3\n"
        "GPU 1: NVIDIA H100 PCIe (UUID: GPU-2)\n"
        "\t Link 0: 00010000:C6:00.0\n"
    )
    assert found.remotes == {
        0: {"0000:d5:00.0", "ffffffff:ff:ff.0"},
        1: {"10000:c6:00.0"},
    }


def test_link_capabilities_are_no_link_states():
    text = "GPU 0: NVIDIA H200 (UUID: GPU-1)\n\t Link 0, P2P is supported: true\n"
    assert parse(text) is None


@pytest.mark.parametrize(
    "text",
    [
        "index, pci.bus_id\n0, 00000000:0F:00.0\n1, 00000000:10:00.0\n",
        "0, 00000000:0F:00.0\n1, 00000000:10:00.0\n",
        "index, name, pci.bus_id\n0, NVIDIA A, 00000000:0F:00.0\n1, NVIDIA A, 00000000:10:00.0\n",
        "pci.bus_id, index\n00000000:0F:00.0, 0\n00000000:10:00.0, 1\n",
        OVERVIEW,
    ],
    ids=["csv", "noheader", "more columns", "other order", "overview"],
)
def test_addresses_by_index(text):
    assert parse(text).addresses == {0: "0000:0f:00.0", 1: "0000:10:00.0"}


def test_a_csv_may_have_module_ids():
    found = parse("index, pci.bus_id, platform.module_id\n0, 00000000:0F:00.0, 5\n")
    assert found.modules == {"0000:0f:00.0": 5}


def test_the_query_has_addresses_and_module_ids():
    modules = dict(zip(hosts.addresses(), hosts.MODULES, strict=True))
    found = parse(hosts.module_ids(modules))
    assert found.modules == modules
    assert found.addresses == dict(enumerate(hosts.addresses()))


def test_a_query_of_some_gpus_gives_no_indexes():
    text = hosts.module_ids({"0000:0f:00.0": 5}).replace("GPUs : 1", "GPUs : 8")
    assert parse(text).addresses == {}
    assert parse(text).modules == {"0000:0f:00.0": 5}


def test_module_ids_survive_grep():
    """As operators save it: grep -i "Module ID\\|GPU 00000000" or "Module Id|Bus Id"."""
    first = "GPU 00000000:19:00.0\n        Module Id          : 2\n"
    second = "GPU 00000000:3B:00.0\n        Module ID          : 4\n"
    assert parse(first + second).modules == {"0000:19:00.0": 2, "0000:3b:00.0": 4}
    assert parse(
        "    Product Name     : NVIDIA H200\n"
        "        Module Id    : 2\n"
        "        Bus Id       : 00000000:83:00.0\n"
        "    Product Name     : NVIDIA H200\n"
        "        Module Id    : N/A\n"
        "        Bus Id       : 00000000:8B:00.0\n"
    ).modules == {"0000:83:00.0": 2}


def test_one_file_may_contain_several_outputs_with_other_text_between():
    modules = dict(zip(hosts.addresses(2), (2, 4), strict=True))
    found = parse(
        "hostname: node-1\n--- nvidia-smi topo -m ---\n"
        + hosts.matrix(2, hosts.every_pair(2))
        + "--- nvidia-smi nvlink -s ---\nGPU 0: NVIDIA H200 (UUID: GPU-1)\n\t Link 0: 26.562 GB/s\n"
        + "--- nvidia-smi -q ---\n"
        + hosts.module_ids(modules)
    )
    assert found.joined == {(0, 1): 18}
    assert found.links == {0: {0: True}}
    assert found.modules == modules


def test_a_list_of_gpus_has_no_links():
    assert parse("GPU 0: NVIDIA H100 80GB HBM3 (UUID: GPU-1)\n") is None


@given(st.integers(1, 12), st.data())
def test_any_matrix_is_read_as_written(size, data):
    pairs = [(a, b) for a in range(size) for b in range(a + 1, size)]
    some = st.lists(st.sampled_from(pairs), unique=True) if pairs else st.just([])
    joined = {pair: f"NV{data.draw(st.integers(1, 18))}" for pair in data.draw(some)}
    found = parse(hosts.matrix(size, joined, nics=data.draw(st.integers(0, 3))))
    assert found.joined == {pair: int(cell[2:]) for pair, cell in joined.items()}


@given(st.integers(0, 10**4), st.integers(0, 10**4))
def test_a_truncated_output_never_gives_a_wrong_pair(start, length):
    whole = hosts.matrix(6, {(0, 1): "NV12", (2, 3): "NV12"}) + hosts.query(
        dict(enumerate(hosts.addresses(6)))
    )
    cut = whole[start % len(whole) :][: length % len(whole) + 1]
    try:
        found = parse(cut)
    except UserError:
        return
    if found is not None and found.joined is not None:
        assert (
            found.joined.items() <= {(0, 1): 12, (2, 3): 12}.items() or len(found.matrix_gpus) < 6
        )


_PIECES = st.sampled_from(
    ["GPU0", "GPU1", "GPU", " X ", "NV2", "NV", "SYS", "OK", "\t", "\n", "CPU Affinity", "Link 0: ",
     "GPU 0: a (UUID: ", "Remote Device 00000000:D5:00.0: Link 1", "Module Id : 3", "index,",
     "pci.bus_id", "0, 00000000:0F:00.0", "Attached GPUs : 2", "|  0  a | 00000000:0F:00.0 ",
     "\x1b[4m", "\0", "é"]
)  # fmt: skip


@given(st.lists(_PIECES | st.text(max_size=6), max_size=60).map("".join))
def test_junk_is_rejected_or_read(text):
    try:
        parse(text)
    except UserError as error:
        assert str(error).startswith("saved.txt:")
