# SPDX-License-Identifier: Apache-2.0
"""udev rules for passed-through functions, by address and ids (udev(7)).

D3cold takes the power away from an idle GPU; some do not come back, and a server then starts
without it (``d3cold_allowed``, Documentation/ABI/testing/sysfs-bus-pci). ``driver_override`` is for
functions that appear later: VFs, and what was removed and found again by a rescan.
"""

from nova_gpu_passthrough.generate.binding import Binding
from nova_gpu_passthrough.generate.options import comment
from nova_gpu_passthrough.inventory.pci import PciDevice

PATH = "etc/udev/rules.d/90-gpu-passthrough.rules"


def rules(binding: Binding) -> str:
    """One rule for each function, and one more for each that is bound by address."""
    text = comment("Idle devices keep their power (no D3cold): not all come back from it.")
    for device in binding.devices:
        if device.physical_function is None:
            text += f'{_match(device)}, TEST=="d3cold_allowed", ATTR{{d3cold_allowed}}="0"\n'
    if binding.overrides:
        text += "\n" + comment("Functions that are bound by address, when they appear later.")
        for device in binding.override_devices:
            text += f'{_match(device)}, ATTR{{driver_override}}="vfio-pci"\n'
    return text


def _match(device: PciDevice) -> str:
    return (
        f'ACTION=="add", SUBSYSTEM=="pci", KERNEL=="{device.address}", '
        f'ATTR{{vendor}}=="0x{device.vendor_id}", ATTR{{device}}=="0x{device.product_id}"'
    )
