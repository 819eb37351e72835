# SPDX-License-Identifier: Apache-2.0
"""xGMI hives from amdgpu's files in sysfs.

``xgmi_hive_info/xgmi_hive_id`` in the directory of each PCI function holds the hive's id as a
decimal number; there is none without xGMI (DOC "AMDGPU XGMI Support" and amdgpu_xgmi_show_attrs in
drivers/gpu/drm/amd/amdgpu/amdgpu_xgmi.c). All GPUs of a hive reach each other, some of an MI250's
over others. The files exist only while amdgpu holds the GPU: a host with its GPUs on vfio-pci has
none.
"""

from collections.abc import Iterable, Mapping
from typing import Protocol


class Files(Protocol):
    """What is needed of ``host.root.Root``."""

    def text(self, path: str) -> str | None:
        """A file's text without the blanks around it; None if there is none."""


def read(root: Files, addresses: Iterable[str]) -> Mapping[str, str]:
    """Hive ids by PCI address of the GPUs that have one."""
    found = {}
    for address in addresses:
        path = f"/sys/bus/pci/devices/{address}/xgmi_hive_info/xgmi_hive_id"
        hive = root.text(path)
        # 0 stands for no hive (amdgpu_get_xgmi_hive).
        if hive and hive.isascii() and hive.isdigit() and hive.strip("0"):
            found[address] = hive
    return found
