# SPDX-License-Identifier: Apache-2.0
"""Which output a file is, by its content."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nova_gpu_passthrough.errors import UserError
from nova_gpu_passthrough.host.links import texts
from nova_gpu_passthrough.host.links import tool_output as text_module
from tests.unit.host.links import hosts, test_amd_smi, test_fabric_manager


@pytest.mark.parametrize(
    "text, vendor",
    [
        (hosts.matrix(2, {}), "10de"),
        (hosts.query({0: "0000:0f:00.0"}), "10de"),
        (json.dumps(test_fabric_manager.document([1, 2])), "10de"),
        (test_amd_smi.ROCM, "1002"),
        (test_amd_smi.AMD, "1002"),
        (json.dumps(test_amd_smi.document("XGMI"), indent=4), "1002"),
    ],
)
def test_outputs_are_recognised(tmp_path, text, vendor):
    file = tmp_path / "saved"
    file.write_text(text)
    found = texts.read(file)
    assert (found.vendor_id, found.source) == (vendor, str(file))


@pytest.mark.parametrize("text", ["", "hello\n", "{", "[[1]]", "[" * 10**5, '{"a": 1}'])
def test_other_files_are_refused(text):
    with pytest.raises(UserError, match=r"^saved:1: not recognised; expected .* topo -m"):
        texts.parse(text, "saved")


def test_a_binary_file_is_refused_with_the_line(tmp_path):
    file = tmp_path / "saved"
    file.write_bytes(b"GPU0\n\xff\n")
    with pytest.raises(UserError, match="saved:2: no text in UTF-8"):
        texts.read(file)


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(UserError, match="gone: No such file"):
        texts.read(tmp_path / "gone")
    with pytest.raises(UserError, match="Is a directory"):
        texts.read(tmp_path)


def test_a_huge_file_is_not_read(tmp_path):
    file = tmp_path / "saved"
    with file.open("wb") as huge:
        huge.truncate(texts.MAX_BYTES + 1)
    with pytest.raises(UserError, match="more than 8 MiB"):
        texts.read(file)


@given(st.binary(max_size=200))
def test_any_bytes_are_refused_or_read(tmp_path_factory, data):
    file = tmp_path_factory.getbasetemp() / "any"
    file.write_bytes(data)
    try:
        texts.read(file)
    except UserError as error:
        assert str(error).startswith(str(file))


def test_outputs_of_one_machine_are_combined():
    matrix = texts.parse(hosts.matrix(2, {(0, 1): "NV4"}), "topo.txt")
    addresses = texts.parse(hosts.query({0: "0000:0f:00.0", 1: "0000:10:00.0"}), "gpus.csv")
    modules = texts.parse(hosts.module_ids({"0000:0f:00.0": 2}), "query.txt")
    other = texts.parse(test_amd_smi.AMD, "amd.txt")
    nvidia, amd = text_module.combine([addresses, other, matrix, modules])
    assert nvidia.source == "gpus.csv, topo.txt, query.txt"
    assert nvidia.joined == {(0, 1): 4}
    assert nvidia.addresses == {0: "0000:0f:00.0", 1: "0000:10:00.0"}
    assert nvidia.modules == {"0000:0f:00.0": 2}
    assert amd.source == "amd.txt"
