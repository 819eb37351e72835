# SPDX-License-Identifier: Apache-2.0
"""Read xGMI hives from amdgpu's files in sysfs.

``xgmi_hive_info/xgmi_hive_id`` in the directory of a PCI function holds the id of its hive as a
decimal number. GPUs without xGMI do not have the file (DOC "AMDGPU XGMI Support" and
amdgpu_xgmi_show_attrs in drivers/gpu/drm/amd/amdgpu/amdgpu_xgmi.c). All GPUs of a hive reach each
other; some GPUs of an MI250 reach others only through a third one. The files exist only while
amdgpu holds the GPU: a host whose GPUs are bound to vfio-pci has none.
"""

from collections.abc import Iterable, Mapping

from nova_gpu_passthrough.host.root import Root


def read_hives(root: Root, addresses: Iterable[str]) -> Mapping[str, str]:
    """Return the hive ids of the GPUs that belong to a hive, by PCI address."""
    hives = {}
    for address in addresses:
        hive = root.text(f"/sys/bus/pci/devices/{address}/xgmi_hive_info/xgmi_hive_id")
        # 0 means that the GPU is in no hive (amdgpu_get_xgmi_hive).
        if hive and hive.isascii() and hive.isdigit() and hive.strip("0"):
            hives[address] = hive
    return hives
