# SPDX-License-Identifier: Apache-2.0
"""Reading xGMI hives from sysfs."""

from nova_gpu_passthrough.host.links import xgmi
from nova_gpu_passthrough.host.root import Root

HIVE = "15473582176894728123"


def tree(tmp_path, ids):
    """Return a recorded tree with these hive ids by address; None: no file."""
    for address, hive in ids.items():
        folder = tmp_path / "sys/bus/pci/devices" / address
        folder.mkdir(parents=True)
        if hive is not None:
            (folder / "xgmi_hive_info").mkdir()
            (folder / "xgmi_hive_info/xgmi_hive_id").write_text(f"{hive}\n")
    return Root(tmp_path)


def test_hive_ids_are_read(tmp_path):
    root = tree(tmp_path, {"0000:0c:00.0": HIVE, "0000:22:00.0": HIVE, "0000:38:00.0": None})
    addresses = ["0000:0c:00.0", "0000:22:00.0", "0000:38:00.0", "0000:ff:00.0"]
    assert xgmi.read_hives(root, addresses) == {"0000:0c:00.0": HIVE, "0000:22:00.0": HIVE}


def test_the_link_to_the_first_gpus_directory_is_followed(tmp_path):
    root = tree(tmp_path, {"0000:0c:00.0": HIVE, "0000:22:00.0": None})
    devices = tmp_path / "sys/bus/pci/devices"
    (devices / "0000:22:00.0/xgmi_hive_info").symlink_to("../0000:0c:00.0/xgmi_hive_info")
    assert xgmi.read_hives(root, ["0000:22:00.0"]) == {"0000:22:00.0": HIVE}


def test_zero_and_other_text_are_no_hive(tmp_path):
    ids = {"0000:01:00.0": "0", "0000:02:00.0": "", "0000:03:00.0": "0x1", "0000:04:00.0": "²"}
    assert xgmi.read_hives(tree(tmp_path, ids), ids) == {}


def test_loops_and_directories_in_a_recorded_tree_are_no_hive(tmp_path):
    root = tree(tmp_path, {"0000:01:00.0": None, "0000:02:00.0": None})
    devices = tmp_path / "sys/bus/pci/devices"
    (devices / "0000:01:00.0/xgmi_hive_info").symlink_to("xgmi_hive_info")
    (devices / "0000:02:00.0/xgmi_hive_info/xgmi_hive_id").mkdir(parents=True)
    assert xgmi.read_hives(root, ["0000:01:00.0", "0000:02:00.0"]) == {}
