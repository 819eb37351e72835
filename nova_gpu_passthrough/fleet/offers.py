# SPDX-License-Identifier: Apache-2.0
"""Which PCI functions of a host servers can get."""

import enum
import functools
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from nova_gpu_passthrough.errors import UserError
from nova_gpu_passthrough.fleet.notes import Note
from nova_gpu_passthrough.fleet.settings import Settings
from nova_gpu_passthrough.inventory.findings import Verdict, failures_of
from nova_gpu_passthrough.inventory.model import Inventory
from nova_gpu_passthrough.inventory.pci import DeviceType, Gpu, PciDevice, Role

#: Directory of what belongs on no compute host.
CONTROL = "control"
_HOST_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
#: Nova knows no PCI domains beyond it (MAX_DOMAIN in nova/pci/devspec.py).
_MAX_DOMAIN = 0xFFFF
#: GPUs whose memory the CPU shares: vfio-pci does not show it, their own VFIO driver does
#: (nvgrace_gpu_vfio_pci_table in drivers/vfio/pci/nvgrace-gpu/main.c).
_GRACE = frozenset(f"10de:{product}" for product in ("2342", "2345", "2348", "2941", "31c2"))


class Kind(enum.StrEnum):
    """What a function is to its alias."""

    GPU = "gpu"
    AUDIO = "audio"
    USB = "usb"
    UCSI = "ucsi"
    NIC = "nic"


@dataclass(frozen=True)
class Offered:
    """A function that servers can get."""

    device: PciDevice
    kind: Kind
    #: The GPU's model, or the ids of a NIC.
    model: str
    #: The GPU of the function's card; None for a NIC.
    gpu: Gpu | None = None
    #: The closest PCIe port that it shares with others.
    switch: str | None = None

    @property
    def address(self) -> str:
        """Its PCI address."""
        return self.device.address

    @property
    def bound(self) -> bool:
        """Whether vfio-pci takes it at boot; others are left to libvirt, as servers need them."""
        return self.kind is not Kind.NIC and self.device.ids not in _GRACE


@dataclass(frozen=True)
class Offer:
    """A host and what servers can get of it."""

    inventory: Inventory
    devices: tuple[Offered, ...]

    @property
    def host(self) -> str:
        """The host's name."""
        return self.inventory.host

    @functools.cached_property
    def gpus(self) -> tuple[Offered, ...]:
        """The GPUs among them."""
        return tuple(device for device in self.devices if device.kind is Kind.GPU)

    @functools.cached_property
    def bound(self) -> tuple[Offered, ...]:
        """Those that vfio-pci takes at boot."""
        return tuple(device for device in self.devices if device.bound)


def choose(
    inventories: Sequence[Inventory], settings: Settings
) -> tuple[tuple[Offer, ...], list[Note]]:
    """The offers of all hosts that have any GPU for servers, in the order of their names.

    :raises UserError: if hosts contradict each other, a setting names what is not there, or no GPU
        is left
    """
    if not inventories:
        raise UserError("no inventory was given: name files that nova-gpu host audit --write made")
    _check_hosts(inventories)
    excluded = _addresses(inventories, settings.exclude, "--exclude")
    nics = _addresses(inventories, settings.nics, "--nic")
    offers, notes = [], []
    for inventory in sorted(inventories, key=lambda inventory: inventory.host):
        gpus, left_out = _gpus(inventory, excluded[inventory.host], settings.include_unfit)
        notes += [Note(inventory.host, text) for text in left_out]
        if not gpus:
            notes.append(Note(inventory.host, "no GPU is left for servers; no files are made"))
            continue
        devices = [*_cards(inventory, gpus), *_nics(inventory, gpus, nics[inventory.host])]
        devices.sort(key=lambda offered: offered.address)
        offer = Offer(inventory, tuple(devices))
        offers.append(offer)
        notes += [Note(inventory.host, text) for text in _remarks(offer)]
    if not offers:
        reasons = "; ".join(str(note) for note in notes)
        raise UserError(f"there is no GPU that servers could get: {reasons}")
    return tuple(offers), notes


def _check_hosts(inventories: Iterable[Inventory]) -> None:
    seen = set()
    for inventory in inventories:
        host = inventory.host
        if host in seen:
            raise UserError(
                f"two inventories are of host {host}: name one of them, or tell the hosts apart "
                "with nova-gpu host audit --host NAME"
            )
        seen.add(host)
        if host == CONTROL or not _HOST_NAME.fullmatch(host):
            raise UserError(
                f"host {host!r}: its files need a directory of that name, expected letters, "
                f"digits, dots and dashes, and not {CONTROL!r}; see nova-gpu host audit --host"
            )


def _addresses(
    inventories: Iterable[Inventory], words: Iterable[str], option: str
) -> Mapping[str, set[str]]:
    """What an option names, by host."""
    found: dict[str, set[str]] = {inventory.host: set() for inventory in inventories}
    for word in words:
        host, _, address = word.rpartition("/")
        address = address.lower()
        if address.count(":") == 1:
            address = f"0000:{address}"
        hosts = [
            inventory.host
            for inventory in inventories
            if host in ("", inventory.host)
            and _takes(inventory.by_address.get(address), inventory, option)
        ]
        if not hosts:
            what = "NIC" if option == "--nic" else "function of a GPU's card"
            raise UserError(
                f"{option} {word}: there is no such {what} in the inventories, expected an address "
                "such as 0000:41:00.0, or HOST/ADDRESS"
            )
        for name in hosts:
            found[name].add(address)
    return found


def _takes(device: PciDevice | None, inventory: Inventory, option: str) -> bool:
    if device is None:
        return False
    if option == "--nic":
        return device.role is Role.NIC
    return any(device.address in (gpu.address, *gpu.companions) for gpu in inventory.gpus)


def _gpus(
    inventory: Inventory, excluded: set[str], include_unfit: bool
) -> tuple[list[Gpu], list[str]]:
    """The GPUs for servers, and why others are not."""
    kept, notes = [], []
    cards = {
        gpu.card for gpu in inventory.gpus if excluded.intersection((gpu.address, *gpu.companions))
    }
    for gpu in inventory.gpus:
        if gpu.card in cards:
            notes.append(f"{gpu.address} ({gpu.model}) stays with the host: --exclude")
        elif int(gpu.address.partition(":")[0], 16) > _MAX_DOMAIN:
            notes.append(
                f"{gpu.address} ({gpu.model}) is left out: Nova knows no PCI domain above ffff"
            )
        elif (inventory.verdicts or {}).get(gpu.address) is Verdict.UNFIT and not include_unfit:
            notes.append(
                f"{gpu.address} ({gpu.model}) is left out, since the audit found it unfit "
                f"({_failures(inventory, gpu)}); --include-unfit takes it in"
            )
        else:
            kept.append(gpu)
    parents = {inventory.device(gpu).physical_function for gpu in kept}
    for gpu in list(kept):
        if gpu.address in parents:
            kept.remove(gpu)
            notes.append(
                f"{gpu.address} ({gpu.model}) is left out, since its VFs are GPUs for servers; "
                "--exclude them to give the whole GPU away"
            )
    return kept, notes


def _failures(inventory: Inventory, gpu: Gpu) -> str:
    failures = failures_of(inventory.findings, gpu.address)
    return ", ".join(dict.fromkeys(finding.id for finding in failures))


def _cards(inventory: Inventory, gpus: Iterable[Gpu]) -> Iterable[Offered]:
    """The GPUs and what goes with them."""
    seen = set()
    for gpu in gpus:
        yield Offered(inventory.device(gpu), Kind.GPU, gpu.model, gpu, gpu.switch)
        for companion in inventory.companions(gpu):
            if companion.address not in seen:
                seen.add(companion.address)
                yield Offered(companion, Kind(companion.role), gpu.model, gpu, gpu.switch)


def _nics(inventory: Inventory, gpus: Iterable[Gpu], addresses: set[str]) -> Iterable[Offered]:
    switches = {gpu.switch for gpu in gpus}
    for address in addresses:
        device = inventory.by_address[address]
        switch = next((port for port in reversed(device.bridges) if port in switches), None)
        ids = f"{device.vendor_id}-{device.product_id}"
        yield Offered(device, Kind.NIC, ids, switch=switch)


def _remarks(offer: Offer) -> Iterable[str]:
    inventory = offer.inventory
    with_vfs = [o for o in offer.devices if o.device.sriov_vfs]
    if with_vfs:
        yield (
            f"{_list(with_vfs)}: VFs are enabled; Nova takes either a device or its VFs, so see "
            "to it that nothing enables them at boot (sriov_numvfs stays 0)"
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
            f"{_list(grace)}: needs the kernel's driver nvgrace_gpu_vfio_pci, which libvirt 10.0 "
            "or newer takes when a server starts; nothing is bound at boot"
        )
    nics = [o for o in offer.devices if o.kind is Kind.NIC]
    if nics:
        yield (
            f"{_list(nics)}: libvirt takes it from the host's driver when a server starts; the "
            "host must not use it"
        )
    if any(o.device.device_type is DeviceType.VF for o in offer.bound):
        yield (
            "VFs are bound when they appear: their PF needs its own driver or pci-pf-stub, and "
            "something of yours that enables the VFs at boot"
        )
    unknown = [o for o in offer.gpus if o.device.numa_node is None]
    if unknown and len(inventory.numa_nodes) > 1:
        yield (
            f"{_list(unknown)}: the firmware tells no NUMA node, so Nova cannot place servers "
            "beside the GPU, and cores of all nodes are kept for GPU servers"
        )


def _list(devices: Iterable[Offered]) -> str:
    return ", ".join(device.address for device in devices)
