# SPDX-License-Identifier: Apache-2.0
"""The PCI functions that each host offers to servers, and notes about what it does not offer."""

import enum
import functools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from nova_gpu_passthrough.errors import UserError
from nova_gpu_passthrough.fleet.settings import Settings
from nova_gpu_passthrough.inventory.findings import Verdict, failures_of
from nova_gpu_passthrough.inventory.model import Inventory
from nova_gpu_passthrough.inventory.pci import DeviceType, Gpu, PciDevice, Role


class Note(NamedTuple):
    """A sentence for the operator about a host or the whole cloud, such as what was left out."""

    #: None: the whole cloud.
    host: str | None
    text: str

    def __str__(self) -> str:
        return f"{self.host}: {self.text}" if self.host else self.text


def note_lines(notes: Iterable[Note]) -> Iterator[str]:
    """Yield each text once, with all hosts that it is about: ``gpu01, gpu02: ...``."""
    hosts: dict[str, list[str]] = {}
    for note in notes:
        hosts.setdefault(note.text, []).append(note.host or "")
    for text, names in hosts.items():
        yield ": ".join(filter(None, (", ".join(filter(None, dict.fromkeys(names))), text)))


#: The directory of generated files for the control plane.
CONTROL = "control"
_HOST_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
#: The highest PCI domain that Nova accepts (MAX_DOMAIN in nova/pci/devspec.py).
_MAX_DOMAIN = 0xFFFF
#: GPUs that share their memory with the CPU. vfio-pci does not expose this memory to a guest; their
#: own VFIO driver does (nvgrace_gpu_vfio_pci_table in drivers/vfio/pci/nvgrace-gpu/main.c).
_GRACE = frozenset(f"10de:{product}" for product in ("2342", "2345", "2348", "2941", "31c2"))


class DeviceKind(enum.StrEnum):
    """The kind of a PCI function: a GPU, a companion of a GPU, or a NIC."""

    GPU = "gpu"
    AUDIO = "audio"
    USB = "usb"
    UCSI = "ucsi"
    NIC = "nic"


@dataclass(frozen=True)
class OfferedDevice:
    """A PCI function that servers can request by an alias."""

    device: PciDevice
    kind: DeviceKind
    #: The GPU's model, or the ids of a NIC.
    model: str
    #: The GPU of the function's card; None for a NIC.
    gpu: Gpu | None = None
    #: The closest upstream PCIe port that it shares with other offered devices.
    switch: str | None = None

    @property
    def address(self) -> str:
        """Return the PCI address."""
        return self.device.address

    @property
    def bound(self) -> bool:
        """Check whether vfio-pci binds it at boot; libvirt rebinds the others for each server."""
        return self.kind is not DeviceKind.NIC and self.device.ids not in _GRACE


@dataclass(frozen=True)
class HostOffer:
    """A host and the devices that it offers to servers."""

    inventory: Inventory
    devices: tuple[OfferedDevice, ...]

    @property
    def host(self) -> str:
        """Return the name of the host."""
        return self.inventory.host

    @functools.cached_property
    def gpus(self) -> tuple[OfferedDevice, ...]:
        """Return the GPUs among the devices."""
        return tuple(device for device in self.devices if device.kind is DeviceKind.GPU)

    @functools.cached_property
    def bound(self) -> tuple[OfferedDevice, ...]:
        """Return the devices that vfio-pci binds at boot."""
        return tuple(device for device in self.devices if device.bound)


def choose(
    inventories: Sequence[Inventory], settings: Settings
) -> tuple[tuple[HostOffer, ...], list[Note]]:
    """Choose the devices that each host offers, for all hosts with a GPU, sorted by host name.

    :raises UserError: if two inventories are of one host, a setting names a device that does not
        exist, or no GPU remains
    """
    if not inventories:
        raise UserError("no inventory was given: name files that nova-gpu host audit --write wrote")
    _check_hosts(inventories)
    excluded = _addresses(inventories, settings.exclude, "--exclude")
    nics = _addresses(inventories, settings.nics, "--nic")
    offers, notes = [], []
    for inventory in sorted(inventories, key=lambda inventory: inventory.host):
        gpus, left_out = _gpus(inventory, excluded[inventory.host], settings.include_unfit)
        notes += [Note(inventory.host, text) for text in left_out]
        if not gpus:
            notes.append(Note(inventory.host, "no GPU remains for servers; no files are generated"))
            continue
        devices = [*_cards(inventory, gpus), *_nics(inventory, gpus, nics[inventory.host])]
        devices.sort(key=lambda offered: offered.address)
        offer = HostOffer(inventory, tuple(devices))
        offers.append(offer)
        notes += [Note(inventory.host, text) for text in _warnings(offer)]
    if not offers:
        reasons = "; ".join(str(note) for note in notes)
        raise UserError(f"no host has a GPU for servers: {reasons}")
    return tuple(offers), notes


def _check_hosts(inventories: Iterable[Inventory]) -> None:
    seen = set()
    for inventory in inventories:
        host = inventory.host
        if host in seen:
            raise UserError(
                f"two inventories are of host {host}: name only one of them, or give the hosts "
                "different names with nova-gpu host audit --host NAME"
            )
        seen.add(host)
        if host == CONTROL or not _HOST_NAME.fullmatch(host):
            raise UserError(
                f"host {host!r}: the name is used as a directory, expected letters, digits, dots "
                f"and dashes, and not {CONTROL!r}; set it with nova-gpu host audit --host NAME"
            )


def _addresses(
    inventories: Iterable[Inventory], words: Iterable[str], option: str
) -> Mapping[str, set[str]]:
    """Return the addresses that an option names, by host."""
    addresses: dict[str, set[str]] = {inventory.host: set() for inventory in inventories}
    for word in words:
        host, _, address = word.rpartition("/")
        address = address.lower()
        if address.count(":") == 1:
            address = f"0000:{address}"
        hosts = [
            inventory.host
            for inventory in inventories
            if host in ("", inventory.host)
            and _is_valid(inventory.by_address.get(address), inventory, option)
        ]
        if not hosts:
            what = "NIC" if option == "--nic" else "function of a GPU's card"
            raise UserError(
                f"{option} {word}: there is no such {what} in the inventories, expected an address "
                "such as 0000:41:00.0, or HOST/ADDRESS"
            )
        for name in hosts:
            addresses[name].add(address)
    return addresses


def _is_valid(device: PciDevice | None, inventory: Inventory, option: str) -> bool:
    """Check whether an option may name this device."""
    if device is None:
        return False
    if option == "--nic":
        return device.role is Role.NIC
    return any(device.address in (gpu.address, *gpu.companions) for gpu in inventory.gpus)


def _gpus(
    inventory: Inventory, excluded: set[str], include_unfit: bool
) -> tuple[list[Gpu], list[str]]:
    """Return the GPUs for servers, and a note for each GPU that is left out."""
    kept, notes = [], []
    cards = {
        gpu.card for gpu in inventory.gpus if excluded.intersection((gpu.address, *gpu.companions))
    }
    for gpu in inventory.gpus:
        if gpu.card in cards:
            notes.append(f"{gpu.address} ({gpu.model}) stays with the host: --exclude")
        elif int(gpu.address.partition(":")[0], 16) > _MAX_DOMAIN:
            notes.append(
                f"{gpu.address} ({gpu.model}) is left out: Nova accepts no PCI domain above ffff"
            )
        elif (inventory.verdicts or {}).get(gpu.address) is Verdict.UNFIT and not include_unfit:
            notes.append(
                f"{gpu.address} ({gpu.model}) is left out, because the audit found it unfit "
                f"({_failures(inventory, gpu)}); --include-unfit includes it"
            )
        else:
            kept.append(gpu)
    parents = {inventory.device(gpu).physical_function for gpu in kept}
    for gpu in list(kept):
        if gpu.address in parents:
            kept.remove(gpu)
            notes.append(
                f"{gpu.address} ({gpu.model}) is left out, because its VFs are offered to servers; "
                "exclude the VFs with --exclude to offer the whole GPU"
            )
    return kept, notes


def _failures(inventory: Inventory, gpu: Gpu) -> str:
    failures = failures_of(inventory.findings, gpu.address)
    return ", ".join(dict.fromkeys(finding.id for finding in failures))


def _cards(inventory: Inventory, gpus: Iterable[Gpu]) -> Iterable[OfferedDevice]:
    """Yield the GPUs and their companions."""
    seen = set()
    for gpu in gpus:
        yield OfferedDevice(inventory.device(gpu), DeviceKind.GPU, gpu.model, gpu, gpu.switch)
        for companion in inventory.companions(gpu):
            if companion.address not in seen:
                seen.add(companion.address)
                yield OfferedDevice(
                    companion, DeviceKind(companion.role), gpu.model, gpu, gpu.switch
                )


def _nics(
    inventory: Inventory, gpus: Iterable[Gpu], addresses: set[str]
) -> Iterable[OfferedDevice]:
    switches = {gpu.switch for gpu in gpus}
    for address in addresses:
        device = inventory.by_address[address]
        switch = next((port for port in reversed(device.bridges) if port in switches), None)
        ids = f"{device.vendor_id}-{device.product_id}"
        yield OfferedDevice(device, DeviceKind.NIC, ids, switch=switch)


def _warnings(offer: HostOffer) -> Iterable[str]:
    """Yield what the operator has to know about the offered devices of a host."""
    inventory = offer.inventory
    with_vfs = [o for o in offer.devices if o.device.sriov_vfs]
    if with_vfs:
        yield (
            f"{_list(with_vfs)}: VFs are enabled; Nova uses either a device or its VFs, so make "
            "sure that nothing enables VFs at boot (sriov_numvfs stays 0)"
        )
    switches = [device for device in inventory.devices if device.role is Role.NVSWITCH]
    if switches:
        yield (
            f"{len(switches)} NVSwitches stay with the host: its fabric manager must partition "
            "them for the servers (shared NVSwitch mode)"
        )
    grace = [o for o in offer.gpus if o.device.ids in _GRACE]
    if grace:
        yield (
            f"{_list(grace)}: needs the kernel driver nvgrace_gpu_vfio_pci, which libvirt 10.0 or "
            "newer binds when a server starts; nothing is bound at boot"
        )
    nics = [o for o in offer.devices if o.kind is DeviceKind.NIC]
    if nics:
        yield (
            f"{_list(nics)}: libvirt unbinds it from the host's driver when a server starts; the "
            "host must not use it"
        )
    if any(o.device.device_type is DeviceType.VF for o in offer.bound):
        yield (
            "VFs are bound when they appear: their PF needs its own driver or pci-pf-stub, and one "
            "of your services must enable the VFs at boot"
        )
    unknown = [o for o in offer.gpus if o.device.numa_node is None]
    if unknown and len(inventory.numa_nodes) > 1:
        yield (
            f"{_list(unknown)}: the firmware reports no NUMA node, so Nova cannot give servers "
            "CPUs next to the GPU, and all nodes keep cores for GPU servers"
        )


def _list(devices: Iterable[OfferedDevice]) -> str:
    return ", ".join(device.address for device in devices)
