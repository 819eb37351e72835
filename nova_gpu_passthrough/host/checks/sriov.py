# SPDX-License-Identifier: Apache-2.0
"""Check SR-IOV: the device type of a GPU in Nova, and VFs that prevent passthrough."""

from collections.abc import Iterator

from nova_gpu_passthrough.inventory.drivers import is_vfio
from nova_gpu_passthrough.inventory.findings import Finding, Remedy, Severity
from nova_gpu_passthrough.inventory.model import Inventory
from nova_gpu_passthrough.inventory.pci import DeviceType, Gpu
from nova_gpu_passthrough.inventory.shell_fix import as_root


def check(inventory: Inventory) -> Iterator[Finding]:
    """Check the device type of every GPU."""
    if not inventory.reports_kernel:
        return
    for gpu in inventory.gpus:
        yield _type(inventory, gpu)


def _type(inventory: Inventory, gpu: Gpu) -> Finding:
    device = inventory.device(gpu)
    source = f"/sys/bus/pci/devices/{gpu.address}/sriov_totalvfs"
    device_type = device.device_type
    if device_type is DeviceType.PF and device.sriov_vfs:
        return Finding(
            "sriov.vfs_enabled",
            Severity.FAILURE,
            gpu.address,
            f"{device.sriov_vfs} of {device.sriov_total_vfs} VFs are enabled",
            f"/sys/bus/pci/devices/{gpu.address}/sriov_numvfs",
            "The whole GPU cannot be passed to a server while its VFs exist.",
            as_root(
                inventory.host,
                f"echo 0 > /sys/bus/pci/devices/{gpu.address}/sriov_numvfs",
                then="Remove what enables VFs at boot (sriov-manage, the vGPU manager); or offer "
                "the VFs instead of the GPU.",
            ),
            Remedy.CONFIGURATION,
        )
    if device_type is DeviceType.VF:
        parent = inventory.by_address.get(device.physical_function or "")
        if parent is not None and is_vfio(parent.driver) and parent.driver != "pci-stub":
            return Finding(
                "sriov.pf_on_vfio",
                Severity.FAILURE,
                gpu.address,
                f"its PF {parent.address} is held by {parent.driver}",
                f"/sys/bus/pci/devices/{parent.address}/driver",
                "vfio-pci does not open a VF whose PF it holds without a shared token: the server "
                "fails to start (Permission denied).",
                f"Bind {parent.address} to its own driver or to pci-pf-stub.",
                Remedy.CONFIGURATION,
            )
    note = {
        DeviceType.PCI: "no SR-IOV",
        DeviceType.PF: f"SR-IOV capable ({device.sriov_total_vfs} VFs, none enabled): its alias "
        "needs device_type type-PF",
        DeviceType.VF: f"a VF of {device.physical_function}: its alias needs device_type type-VF",
    }[device_type]
    return Finding("sriov.type", Severity.OK, gpu.address, f"{device_type} in Nova; {note}", source)
