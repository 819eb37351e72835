# SPDX-License-Identifier: Apache-2.0
"""Which PCI functions are GPUs, their companions, or something else: by class code and ids."""

import re
from collections.abc import Iterable, Mapping

from nova_gpu_passthrough.catalog import models
from nova_gpu_passthrough.inventory.pci import COMPANIONS, Gpu, PciDevice, Role

NVIDIA, AMD = "10de", "1002"
#: VGA, 3D and other display controllers, processing accelerators (PCI code and ID assignment
#: specification; include/linux/pci_ids.h).
GPU_CLASSES = frozenset(("0300", "0302", "0380", "1200"))
#: Vendors of which every function of such a class is taken for a GPU, in the catalogue or not. Of
#: others (ASPEED and Matrox displays, FPGAs, emulated cards) only those that are named.
_GPU_VENDORS = frozenset((NVIDIA, AMD))
#: Displays of management controllers by those vendors: ES1000 and Rage XL (pci.ids).
_MANAGEMENT_DISPLAYS = frozenset(("1002:515e", "1002:5969", "1002:474f", "1002:4752"))
_BY_CLASS = {
    "0403": Role.AUDIO,
    "0c03": Role.USB,
    "0c80": Role.UCSI,
}
_BY_BASE_CLASS = {
    "01": Role.STORAGE,
    "02": Role.NIC,
    "06": Role.BRIDGE,
}


def role_of(class_code: str, vendor_id: str, product_id: str, named: Mapping[str, str]) -> Role:
    """The role of a PCI function.

    :param class_code: six hex digits
    :param named: models by the operator's word, by ``vendor:product``
    """
    kind = class_code[:4]
    if f"{vendor_id}:{product_id}" in named:
        return Role.GPU
    if kind in GPU_CLASSES:
        if f"{vendor_id}:{product_id}" in _MANAGEMENT_DISPLAYS:
            return Role.DISPLAY
        if vendor_id in _GPU_VENDORS or models.lookup(vendor_id, product_id) is not None:
            return Role.GPU
        return Role.OTHER if kind == "1200" else Role.DISPLAY
    if kind == "0680" and vendor_id == NVIDIA:
        return Role.NVSWITCH
    return _BY_CLASS.get(kind) or _BY_BASE_CLASS.get(kind[:2], Role.OTHER)


def gpus_of(devices: Iterable[PciDevice], named: Mapping[str, str]) -> tuple[Gpu, ...]:
    """The GPUs among the functions of a host, with companions and switch, without links.

    :param named: models by the operator's word, by ``vendor:product``
    """
    slots: dict[str, list[PciDevice]] = {}
    for device in devices:
        slots.setdefault(device.slot, []).append(device)
    gpus = [d for functions in slots.values() for d in functions if d.role is Role.GPU]
    nics = [d for functions in slots.values() for d in functions if d.role is Role.NIC]
    result = []
    for device in gpus:
        model, source = _model(device, named)
        companions = [d.address for d in slots[device.slot] if d.role in COMPANIONS]
        # Of several GPU functions in a slot the first has the companions.
        first = next(d for d in slots[device.slot] if d.role is Role.GPU)
        result.append(
            Gpu(
                device.address,
                model,
                source,
                card=device.slot,
                companions=tuple(companions) if device is first else (),
                switch=shared_port(device, gpus) or shared_port(device, nics),
            )
        )
    return tuple(result)


def shared_port(device: PciDevice, others: Iterable[PciDevice]) -> str | None:
    """The closest bridge above a function that is also above one of ``others``, not of its card."""
    above = {bridge for d in others if d.slot != device.slot for bridge in d.bridges}
    return next((bridge for bridge in reversed(device.bridges) if bridge in above), None)


def _model(device: PciDevice, named: Mapping[str, str]) -> tuple[str, str]:
    """A GPU's model and who names it."""
    if device.ids in named:
        return named[device.ids], "operator"
    known = models.lookup(device.vendor_id, device.product_id)
    if known:
        return known.name, "catalogue"
    if device.name:
        # "AD102 [GeForce RTX 4090]": the name in brackets is the one that people know.
        marketing = re.search(r"\[([^\]]+)\]", device.name)
        name = re.sub(r"[^A-Za-z0-9.]+", "-", marketing[1] if marketing else device.name)
        if name.strip("-"):
            return name.strip("-"), "pci.ids"
    return device.ids.replace(":", "-"), "ids"
