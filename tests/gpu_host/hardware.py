# SPDX-License-Identifier: Apache-2.0
"""Data classes for a virtual server's hardware, and the PCI address of each device.

The addresses follow from the tree: firmware numbers buses depth first, in the order of the slots.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

#: Low bits of a BAR (PCI Local Bus Specification 3.0, 6.2.5.1).
BAR_32 = 0
BAR_64 = 4
BAR_64_PREFETCHABLE = 12


@dataclass(frozen=True)
class Bar:
    """One base address register: index 0 to 5, bytes."""

    number: int
    size: int
    flags: int = BAR_64_PREFETCHABLE


@dataclass(frozen=True)
class Link:
    """A PCIe link: generation 1 to 5 (2.5, 5, 8, 16, 32 GT/s) and lanes."""

    generation: int
    width: int

    @property
    def speed(self) -> str:
        """The speed as the kernel writes it into ``current_link_speed``."""
        return f"{(2.5, 5.0, 8.0, 16.0, 32.0)[self.generation - 1]} GT/s PCIe"


@dataclass(frozen=True)
class Function:
    """One PCI function.

    :param vendor, device, pci_class: four hex digits each
    :param kind: ``gpu``, ``audio``, ``nic`` or ``vga``
    :param stock: a stock QEMU device to use; with ids, only its behaviour is used
    :param driver: the driver that holds it without configuration; None if none does
    :param modules: driver modules that are loaded for it without configuration
    :param group: functions with the same label are in one IOMMU group, separate from all others
    :param resets: the kernel's ``reset_method``, in its order
    :param link, capable: the current link, and the link that card and slot support
    :param vfs: maximum number of virtual functions (SR-IOV)
    :param defects: defects that an audit must report; empty: ready
    """

    name: str
    vendor: str = ""
    device: str = ""
    pci_class: str = ""
    kind: str = "gpu"
    revision: int = 0xA1
    bars: tuple[Bar, ...] = ()
    flr: bool = False
    stock: str = ""
    driver: str | None = None
    modules: tuple[str, ...] = ()
    group: str = ""
    resets: tuple[str, ...] = ()
    link: Link | None = None
    capable: Link | None = None
    vfs: int = 0
    defects: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        """Vendor and device as in ``10de:20b5``."""
        return f"{self.vendor}:{self.device}"


@dataclass(frozen=True)
class Card:
    """The functions of one card, function 0 first."""

    functions: tuple[Function, ...]


@dataclass(frozen=True)
class Switch:
    """A PCIe switch with access control services, one card behind each downstream port."""

    name: str
    cards: tuple[Card, ...]
    link: Link = Link(4, 16)


@dataclass(frozen=True)
class LegacyBridge:
    """A PCIe to PCI bridge: all devices behind it share one requester id, so one group."""

    name: str
    cards: tuple[Card, ...]


@dataclass(frozen=True)
class RootPort:
    """A root port of a NUMA node.

    :param slot, number: its device and function number
    :param acs: access control services; without them the ports of one device number are a group
    """

    name: str
    slot: int
    child: Card | Switch | LegacyBridge
    link: Link = Link(4, 16)
    number: int = 0
    acs: bool = True


@dataclass(frozen=True)
class Cell:
    """A NUMA node: one socket with one CPU, memory in MiB, a PCIe root with root ports."""

    node: int
    bus: int
    memory: int
    ports: tuple[RootPort, ...]


@dataclass(frozen=True)
class PlacedDevice:
    """A device of the tree with its address.

    :param role: ``root port``, ``upstream``, ``downstream``, ``legacy bridge`` or ``endpoint``
    :param above: name of the bridge above it; for a root port, of its NUMA node's root
    :param slot, number: device and function number on its bus
    :param numa_node: -1 if the firmware reports none
    :param shared: whether its device number has other functions
    """

    name: str
    role: str
    above: str
    bus: int
    slot: int
    number: int
    numa_node: int
    link: Link | None = None
    acs: bool = True
    shared: bool = False
    function: Function | None = None

    @property
    def address(self) -> str:
        return f"0000:{self.bus:02x}:{self.slot:02x}.{self.number}"


@dataclass(frozen=True)
class Server:
    """The whole server.

    :param root: cards directly on the root complex (no NUMA node), by slot of bus 0
    :param distance: distance between the two NUMA nodes, as in the ACPI SLIT
    :param defects: defects of the host itself that an audit must report
    """

    cells: tuple[Cell, ...]
    root: tuple[tuple[int, Card], ...]
    distance: int = 21
    defects: tuple[str, ...] = ()

    @cached_property
    def devices(self) -> tuple[PlacedDevice, ...]:
        """All devices, bridges included, from the roots down."""
        return tuple(self._walk())

    @cached_property
    def endpoints(self) -> dict[str, PlacedDevice]:
        """The functions by name."""
        return {placed.name: placed for placed in self.devices if placed.function}

    def __getitem__(self, name: str) -> Function:
        """Return the function with this name."""
        function = self.endpoints[name].function
        assert function
        return function

    def address(self, name: str) -> str:
        """Return the PCI address of the function with this name, as in ``0000:21:00.0``."""
        return self.endpoints[name].address

    def gpus(self) -> dict[str, Function]:
        """Return the accelerators by address."""
        return {
            placed.address: placed.function
            for placed in self.endpoints.values()
            if placed.function and placed.function.kind == "gpu"
        }

    def mates(self, name: str) -> set[str]:
        """Return the addresses of the other functions in the IOMMU group of this one."""
        return {
            placed.address
            for other, placed in self.endpoints.items()
            if other != name and placed.function and placed.function.group == self[name].group
        }

    def _walk(self) -> Iterator[PlacedDevice]:
        for slot, card in self.root:
            yield from _functions(card, "pcie.0", 0, slot, -1)
        for cell in self.cells:
            buses = iter(range(cell.bus + 1, 256))
            slots = [port.slot for port in cell.ports]
            for port in cell.ports:
                yield PlacedDevice(
                    port.name,
                    "root port",
                    f"node{cell.node}",
                    cell.bus,
                    port.slot,
                    port.number,
                    cell.node,
                    port.link,
                    port.acs,
                    shared=slots.count(port.slot) > 1,
                )
                yield from _below_port(port, next(buses), buses, cell.node)


def _below_port(
    port: RootPort, bus: int, buses: Iterator[int], node: int
) -> Iterator[PlacedDevice]:
    child = port.child
    if isinstance(child, Card):
        yield from _functions(child, port.name, bus, 0, node)
    elif isinstance(child, Switch):
        up, link = f"{child.name}-up", child.link
        yield PlacedDevice(up, "upstream", port.name, bus, 0, 0, node, link)
        inner = next(buses)
        for slot, card in enumerate(child.cards):
            down = f"{child.name}-down{slot}"
            yield PlacedDevice(down, "downstream", up, inner, slot, 0, node, link)
            yield from _functions(card, down, next(buses), 0, node)
    else:
        yield PlacedDevice(child.name, "legacy bridge", port.name, bus, 0, 0, node)
        inner = next(buses)
        for slot, card in enumerate(child.cards, start=1):
            yield from _functions(card, child.name, inner, slot, node)


def _functions(card: Card, above: str, bus: int, slot: int, node: int) -> Iterator[PlacedDevice]:
    for number, function in enumerate(card.functions):
        yield PlacedDevice(
            function.name,
            "endpoint",
            above,
            bus,
            slot,
            number,
            node,
            shared=len(card.functions) > 1,
            function=function,
        )
