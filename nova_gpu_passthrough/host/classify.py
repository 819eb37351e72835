# SPDX-License-Identifier: Apache-2.0
"""Classify PCI functions as GPUs, companions and other roles, by class code and ids."""

import re
from collections.abc import Iterable, Mapping

from nova_gpu_passthrough.catalog import models
from nova_gpu_passthrough.inventory.pci import COMPANIONS, Gpu, PciDevice, Role

NVIDIA, AMD = "10de", "1002"
#: VGA, 3D and other display controllers, processing accelerators (PCI code and ID assignment
#: specification; include/linux/pci_ids.h).
GPU_CLASSES = frozenset(("0300", "0302", "0380", "1200"))
#: Vendors whose functions of these classes are all GPUs, in the catalogue or not. Functions of
#: other vendors (ASPEED and Matrox displays, FPGAs, emulated cards) are GPUs only if they are in
#: the catalogue or the operator names them.
_GPU_VENDORS = frozenset((NVIDIA, AMD))
#: Display adapters of management controllers by these vendors: ES1000 and Rage XL (pci.ids).
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


def role_of(
    class_code: str, vendor_id: str, product_id: str, model_names: Mapping[str, str]
) -> Role:
    """Return the role of a PCI function.

    :param class_code: six hex digits
    :param model_names: the operator's names of GPU models, by ``vendor:product``
    """
    subclass = class_code[:4]
    if f"{vendor_id}:{product_id}" in model_names:
        return Role.GPU
    if subclass in GPU_CLASSES:
        if f"{vendor_id}:{product_id}" in _MANAGEMENT_DISPLAYS:
            return Role.DISPLAY
        if vendor_id in _GPU_VENDORS or models.lookup(vendor_id, product_id) is not None:
            return Role.GPU
        return Role.OTHER if subclass == "1200" else Role.DISPLAY
    if subclass == "0680" and vendor_id == NVIDIA:
        return Role.NVSWITCH
    return _BY_CLASS.get(subclass) or _BY_BASE_CLASS.get(subclass[:2], Role.OTHER)


def gpus_of(devices: Iterable[PciDevice], model_names: Mapping[str, str]) -> tuple[Gpu, ...]:
    """Return the GPUs among the functions of a host, with companions and switch, without links.

    :param model_names: the operator's names of GPU models, by ``vendor:product``
    """
    slots: dict[str, list[PciDevice]] = {}
    for device in devices:
        slots.setdefault(device.slot, []).append(device)
    gpus = [d for functions in slots.values() for d in functions if d.role is Role.GPU]
    nics = [d for functions in slots.values() for d in functions if d.role is Role.NIC]
    result = []
    for device in gpus:
        model, source = _model(device, model_names)
        companions = [d.address for d in slots[device.slot] if d.role in COMPANIONS]
        # The first of several GPU functions in a slot gets the companions.
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
    """Return the closest bridge above a function that is also above a function of another card."""
    above = {bridge for d in others if d.slot != device.slot for bridge in d.bridges}
    return next((bridge for bridge in reversed(device.bridges) if bridge in above), None)


def _model(device: PciDevice, model_names: Mapping[str, str]) -> tuple[str, str]:
    """Return the model of a GPU and the source of its name."""
    if device.ids in model_names:
        return model_names[device.ids], "operator"
    known = models.lookup(device.vendor_id, device.product_id)
    if known:
        return known.name, "catalogue"
    if device.name:
        # "AD102 [GeForce RTX 4090]": the name in brackets is the marketing name.
        marketing = re.search(r"\[([^\]]+)\]", device.name)
        name = re.sub(r"[^A-Za-z0-9.]+", "-", marketing[1] if marketing else device.name)
        if name.strip("-"):
            return name.strip("-"), "pci.ids"
    return device.ids.replace(":", "-"), "ids"
