# SPDX-License-Identifier: Apache-2.0
"""Parsing saved output of rocm-smi and amd-smi."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nova_gpu_passthrough.errors import UserError
from nova_gpu_passthrough.host.links import amd_smi
from tests.unit import strategies

ROCM = """\
============================ ROCm System Management Interface ============================
================================= Hops between two GPUs ==================================
       GPU0         GPU1         GPU2
GPU0   0            1            3
GPU1   1            0            3
GPU2   3            3            0

=============================== Link Type between two GPUs ===============================
       GPU0         GPU1         GPU2
GPU0   0            XGMI         PCIE
GPU1   XGMI         0            PCIE
GPU2   PCIE         PCIE         0

======================================= Numa Nodes =======================================
GPU[0]\t\t: (Topology) Numa Node: 0
================================== End of ROCm SMI Log ===================================
"""
BUSES = "GPU[0]\t\t: PCI Bus: 0000:0C:00.0\nGPU[1]\t\t: PCI Bus: 0000:22:00.0\n"
AMD = """\
ACCESS TABLE:
             0000:0c:00.0 0000:22:00.0
0000:0c:00.0 ENABLED      ENABLED
0000:22:00.0 ENABLED      ENABLED

LINK TYPE TABLE:
             0000:0c:00.0 0000:22:00.0
0000:0c:00.0 SELF         XGMI
0000:22:00.0 XGMI         SELF

NUMA BW TABLE:
             0000:0c:00.0 0000:22:00.0
0000:0c:00.0 N/A          50000-50000
0000:22:00.0 50000-50000  N/A
"""


def document(*links):
    """Return ``amd-smi topology --json`` of two GPUs with this type of link."""
    names = ("0000:0c:00.0", "0000:22:00.0")
    return [
        {
            "gpu": i,
            "bdf": name,
            "links": [
                {"gpu": j, "bdf": other, "link_type": "SELF" if i == j else links[0]}
                for j, other in enumerate(names)
            ],
        }
        for i, name in enumerate(names)
    ]


def parse(text):
    return amd_smi.parse(text, "saved.txt")


def test_only_the_link_type_table_of_rocm_smi_is_read():
    found = parse(ROCM)
    assert found.vendor_id == "1002"
    assert found.joined == {(0, 1): 1}
    assert found.matrix_gpus == {0, 1, 2}
    assert found.addresses == {}


def test_rocm_smi_reports_addresses():
    assert parse(BUSES).addresses == {0: "0000:0c:00.0", 1: "0000:22:00.0"}
    assert parse(BUSES + ROCM).joined == {(0, 1): 1}


def test_the_amd_smi_table_has_addresses():
    found = parse(AMD)
    assert found.joined == {(0, 1): 1}
    assert found.addresses == {0: "0000:0c:00.0", 1: "0000:22:00.0"}


@pytest.mark.parametrize("kind, joined", [("XGMI", {(0, 1): 1}), ("PCIE", {})])
def test_the_amd_smi_json_is_read(kind, joined):
    found = amd_smi.parse_json(document(kind), "saved.json")
    assert found.joined == joined
    assert found.addresses == {0: "0000:0c:00.0", 1: "0000:22:00.0"}


@pytest.mark.parametrize("lines", range(8, 11))
def test_a_truncated_table_is_rejected(lines):
    cut = "\n".join(ROCM.splitlines()[: lines + 1])
    with pytest.raises(UserError, match="saved.txt:9: the rows of .*GPU2 are missing"):
        parse(cut)


def test_links_missing_from_the_json_are_rejected():
    cut = document("XGMI")
    del cut[0]["links"][1]
    with pytest.raises(UserError, match="0000:0c:00.0 has 1 of 2 columns"):
        amd_smi.parse_json(cut, "saved.json")


def test_other_text_is_ignored():
    assert parse("hello\nGPU0 GPU1\nGPU0 0 XGMI\n") is None


@given(strategies.json_values)
def test_any_json_is_rejected_or_ignored(value):
    with contextlib.suppress(UserError):
        amd_smi.parse_json(value, "saved.json")
    assert amd_smi.parse_json({"bdf": value}, "saved.json") is None


@given(strategies.json_values, st.sampled_from(["bdf", "links"]))
def test_any_value_in_the_json_is_rejected_or_ignored(value, key):
    damaged = document("XGMI")
    damaged[1][key] = value
    with contextlib.suppress(UserError):
        amd_smi.parse_json(damaged, "saved.json")


@given(st.integers(0, len(ROCM)), st.integers(0, len(ROCM)))
def test_a_cut_output_never_gives_a_wrong_pair(start, end):
    try:
        found = parse(ROCM[start:end])
    except UserError:
        return
    assert found is None or found.joined in (None, {}, {(0, 1): 1})
