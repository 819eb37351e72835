# SPDX-License-Identifier: Apache-2.0
"""Saved output is recognised by its content."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nova_gpu_passthrough.errors import UserError
from nova_gpu_passthrough.files import reading
from nova_gpu_passthrough.host import saved_output
from nova_gpu_passthrough.host.links import tool_output
from tests.unit.host.links import hosts, test_amd_smi, test_partitions


@pytest.mark.parametrize(
    "text, vendor",
    [
        (hosts.matrix(2, {}), "10de"),
        (hosts.query({0: "0000:0f:00.0"}), "10de"),
        (json.dumps(test_partitions.document([1, 2])), "10de"),
        (test_amd_smi.ROCM, "1002"),
        (test_amd_smi.AMD, "1002"),
        (json.dumps(test_amd_smi.document("XGMI"), indent=4), "1002"),
    ],
)
def test_outputs_are_recognised(tmp_path, text, vendor):
    file = tmp_path / "saved"
    file.write_text(text)
    output = saved_output.read_links(file)
    assert (output.vendor_id, output.source) == (vendor, str(file))


@pytest.mark.parametrize("text", ["", "hello\n", "{", "[[1]]", "[" * 10**5, '{"a": 1}'])
def test_other_files_are_rejected(text):
    with pytest.raises(UserError, match=r"^saved:1: not recognised; expected .* topo -m"):
        saved_output.parse_links(text, "saved")


def test_a_binary_file_is_rejected_with_its_line(tmp_path):
    file = tmp_path / "saved"
    file.write_bytes(b"GPU0\n\xff\n")
    with pytest.raises(UserError, match="saved:2: not valid UTF-8"):
        saved_output.read_links(file)


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(UserError, match="gone: No such file"):
        saved_output.read_links(tmp_path / "gone")
    with pytest.raises(UserError, match="is a directory, not a file"):
        saved_output.read_links(tmp_path)


def test_a_huge_file_is_not_read(tmp_path):
    file = tmp_path / "saved"
    with file.open("wb") as huge:
        huge.truncate(reading.MAX_BYTES + 1)
    with pytest.raises(UserError, match="more than 8 MiB"):
        saved_output.read_links(file)


@given(st.binary(max_size=200))
def test_any_bytes_are_rejected_or_read(tmp_path_factory, data):
    file = tmp_path_factory.getbasetemp() / "any"
    file.write_bytes(data)
    try:
        saved_output.read_links(file)
    except UserError as error:
        assert str(error).startswith(str(file))


def test_outputs_of_one_machine_are_combined():
    matrix = saved_output.parse_links(hosts.matrix(2, {(0, 1): "NV4"}), "topo.txt")
    addresses = saved_output.parse_links(
        hosts.query({0: "0000:0f:00.0", 1: "0000:10:00.0"}), "gpus.csv"
    )
    modules = saved_output.parse_links(hosts.module_ids({"0000:0f:00.0": 2}), "query.txt")
    other = saved_output.parse_links(test_amd_smi.AMD, "amd.txt")
    nvidia, amd = tool_output.combine([addresses, other, matrix, modules])
    assert nvidia.source == "gpus.csv, topo.txt, query.txt"
    assert nvidia.joined == {(0, 1): 4}
    assert nvidia.addresses == {0: "0000:0f:00.0", 1: "0000:10:00.0"}
    assert nvidia.modules == {"0000:0f:00.0": 2}
    assert amd.source == "amd.txt"
