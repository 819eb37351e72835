# SPDX-License-Identifier: Apache-2.0
"""Fleets of fake GPU hosts as plain data.

- :class:`GpuDevice`: one PCI function (a GPU, a companion function or a NIC);
- :class:`GpuHost`: one host with CPUs, memory and devices; it derives the ``[pci] device_spec``
  entries and what Nova's fake libvirt needs to report (``host_info``, ``pci_info``);
- :func:`hgx_host`, :func:`pcie_host`, :func:`cpu_host`: ready-made hosts;
- :func:`default_aliases`: the ``[pci] alias`` entries that fit a fleet.

Nova is imported only by ``host_info`` and ``pci_info``.
"""

from __future__ import annotations

import dataclasses
import json
import re
import zlib
from collections.abc import Iterable
from typing import Any

GPU = "gpu"
COMPANION = "companion"
NIC = "nic"


@dataclasses.dataclass(frozen=True)
class GpuDevice:
    """One PCI function of a host.

    :param numa_node: host NUMA node, -1 if the firmware reports none
    :param link_group: names of the link group and its partitions, outermost first, joined by ``/``
    :param switch: the PCIe switch above the device
    :param card: shared by all functions of one card
    :param role: ``gpu``, ``companion`` or ``nic``
    :param dev_type: type reported by libvirt: ``PCI`` (Nova's type-PCI) or ``PF`` (type-PF)
    :param traits: traits for the device's resource provider
    """

    bus: int
    slot: int = 0
    function: int = 0
    vendor_id: str = "10de"
    product_id: str = "2330"
    numa_node: int = 0
    model: str | None = None
    link_group: str | None = None
    switch: str | None = None
    card: str | None = None
    role: str = GPU
    dev_type: str = "PCI"
    resource_class: str | None = None
    traits: tuple[str, ...] = ()
    one_time_use: bool = False

    @property
    def address(self) -> str:
        """Return the PCI address as Nova writes it, such as ``0000:1b:00.0``."""
        return f"0000:{self.bus:02x}:{self.slot:02x}.{self.function:x}"

    @property
    def tags(self) -> dict[str, str]:
        """Return the topology tags of the device's ``device_spec`` entry."""
        tags = {"gpu_card": self.card, "gpu_switch": self.switch}
        if self.role == GPU:
            tags.update(gpu_model=self.model, gpu_link_group=self.link_group)
        return {name: value for name, value in sorted(tags.items()) if value is not None}

    def device_spec(self, tags: bool = True) -> dict[str, str]:
        """Return the ``[pci] device_spec`` entry of this device."""
        spec = {
            "address": self.address,
            "vendor_id": self.vendor_id,
            "product_id": self.product_id,
        }
        if self.resource_class:
            spec["resource_class"] = self.resource_class
        if self.traits:
            spec["traits"] = ",".join(self.traits)
        if self.one_time_use:
            spec["one_time_use"] = "true"
        return spec | self.tags if tags else spec


@dataclasses.dataclass(frozen=True)
class GpuHost:
    """One compute host.

    CPUs are numbered node by node; the first ``cpus_per_node - dedicated_cpus_per_node`` of each
    NUMA node run shared vCPUs, the rest pinned ones.

    :param gpus: GPUs and their companions
    :param nics: other passthrough devices
    :param cpus_per_node: CPU threads of one NUMA node
    :param memory_mib_per_node: memory of one NUMA node in MiB
    :param huge_pages_gib_per_node: part of that memory in 1 GiB pages
    :param tags: whether device_spec has the topology tags
    """

    name: str
    gpus: tuple[GpuDevice, ...] = ()
    nics: tuple[GpuDevice, ...] = ()
    cpus_per_node: int = 64
    dedicated_cpus_per_node: int = 32
    memory_mib_per_node: int = 512 * 1024
    huge_pages_gib_per_node: int = 0
    numa_nodes: int = 2
    sockets: int = 2
    threads: int = 2
    tags: bool = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "gpus", tuple(self.gpus))
        object.__setattr__(self, "nics", tuple(self.nics))
        if self.numa_nodes % self.sockets or self.cpus_per_node % self.threads:
            raise ValueError(
                f"{self.name}: numa_nodes must be a multiple of sockets, cpus_per_node of threads"
            )

    @property
    def devices(self) -> tuple[GpuDevice, ...]:
        """Return all passthrough devices."""
        return self.gpus + self.nics

    @property
    def device_spec(self) -> list[str]:
        """Return the ``[pci] device_spec`` of this host: JSON, one entry per device."""
        return [json.dumps(device.device_spec(self.tags)) for device in self.devices]

    def cpu_set(self, dedicated: bool) -> set[int]:
        """Return the ids of the host CPUs for pinned vCPUs, or else for shared ones."""
        shared = self.cpus_per_node - self.dedicated_cpus_per_node
        return {
            node * self.cpus_per_node + cpu
            for node in range(self.numa_nodes)
            for cpu in range(self.cpus_per_node)
            if (cpu >= shared) == dedicated
        }

    def with_devices(self, **changes: Any) -> GpuHost:
        """Return a copy whose GPUs have other field values, such as ``numa_node=-1``."""
        return dataclasses.replace(
            self, gpus=tuple(dataclasses.replace(gpu, **changes) for gpu in self.gpus)
        )

    @property
    def host_info(self) -> Any:
        """Return CPUs, NUMA nodes and memory for Nova's fake libvirt."""
        from nova.tests.fixtures import libvirt as fakelibvirt

        pages = None
        if self.huge_pages_gib_per_node:
            huge_kib = self.huge_pages_gib_per_node << 20
            small = (self.memory_mib_per_node * 1024 - huge_kib) // 4
            pages = [
                fakelibvirt.create_mempages([(4, small), (1 << 20, huge_kib >> 20)])
                for _ in range(self.numa_nodes)
            ]
        # HostInfo counts NUMA nodes per socket.
        info = fakelibvirt.HostInfo(
            cpu_nodes=self.numa_nodes // self.sockets,
            cpu_sockets=self.sockets,
            cpu_cores=self.cpus_per_node // self.threads,
            cpu_threads=self.threads,
            kB_mem=self.memory_mib_per_node * 1024 * self.numa_nodes,
            mempages=pages,
        )
        # The cells have their memory (KiB) by now. getInfo() returns kB_mem, where libvirt reports
        # MiB.
        info.kB_mem = self.memory_mib_per_node * self.numa_nodes
        return info

    @property
    def pci_info(self) -> Any:
        """Return the PCI devices for Nova's fake libvirt, each card in its own IOMMU group."""
        from nova.tests.fixtures import libvirt as fakelibvirt

        info = fakelibvirt.HostPCIDevicesInfo(num_pci=0, num_pfs=0, num_vfs=0)
        groups: dict[tuple[int, int], int] = {}
        for device in self.devices:
            info.add_device(
                dev_type=device.dev_type,
                bus=device.bus,
                slot=device.slot,
                function=device.function,
                iommu_group=groups.setdefault((device.bus, device.slot), len(groups) + 40),
                numa_node=device.numa_node,
                vf_ratio=0 if device.dev_type == "PF" else None,
                vend_id=device.vendor_id,
                prod_id=device.product_id,
                prod_name=device.model or device.role,
                driver_name="vfio-pci",
            )
        return info


def _first_bus(name: str) -> int:
    """Return the first of 16 PCI buses for a host, so that hosts rarely have equal addresses."""
    digits = re.search(r"(\d+)$", name)
    number = int(digits[1]) if digits else zlib.crc32(name.encode())
    return 0x10 * (1 + number % 15)


def _nics(first_bus: int, count: int) -> tuple[GpuDevice, ...]:
    """Return at most 8 NICs: 4 per NUMA node, 2 on each switch of ``hgx_host``."""
    return tuple(
        GpuDevice(
            bus=first_bus + 8 + n,
            vendor_id="15b3",
            product_id="1021",
            numa_node=n // 4,
            switch=f"sw{n // 2}",
            role=NIC,
        )
        for n in range(count)
    )


def hgx_host(
    name: str,
    *,
    model: str = "H100",
    product_id: str = "2330",
    first_bus: int | None = None,
    nics: int = 0,
    **host: Any,
) -> GpuHost:
    """Eight SXM GPUs: 4 per NUMA node, a PCIe switch per pair, nested link partitions.

    :param nics: number of passthrough NICs (at most 8), which PCIWeigher counts like GPUs
    """
    bus = _first_bus(name) if first_bus is None else first_bus
    gpus = [
        GpuDevice(
            bus=bus + n,
            product_id=product_id,
            numa_node=n // 4,
            model=model,
            link_group=f"nvs0/q{n // 4}/p{n // 2}",
            switch=f"sw{n // 2}",
            card=f"card{n}",
        )
        for n in range(8)
    ]
    return GpuHost(name, tuple(gpus), _nics(bus, nics), **host)


def pcie_host(
    name: str, *, gpus: int = 4, first_bus: int | None = None, nics: int = 0, **host: Any
) -> GpuHost:
    """PCIe GPUs without links, half on each NUMA node, each with its audio function."""
    bus = _first_bus(name) if first_bus is None else first_bus
    functions = []
    for n in range(gpus):
        common: dict[str, Any] = {"bus": bus + n, "numa_node": n * 2 // gpus, "card": f"card{n}"}
        functions.append(GpuDevice(product_id="26b9", model="L40S", **common))
        functions.append(GpuDevice(function=1, product_id="22ba", role=COMPANION, **common))
    return GpuHost(name, tuple(functions), _nics(bus, nics), **host)


def cpu_host(name: str, **host: Any) -> GpuHost:
    """A host without passthrough devices."""
    return GpuHost(name, **host)


def default_aliases(
    hosts: Iterable[GpuHost], numa_policy: str | None = None
) -> list[dict[str, str]]:
    """Return one alias per GPU model in lower case, and ``gpu-audio`` and ``nic``."""
    aliases: dict[str, dict[str, str]] = {}
    for host in hosts:
        for device in host.devices:
            name = {COMPANION: "gpu-audio", NIC: "nic"}.get(device.role, device.model or GPU)
            alias = {
                "name": name.lower(),
                "vendor_id": device.vendor_id,
                "product_id": device.product_id,
                "device_type": f"type-{device.dev_type}",
            }
            if device.resource_class:
                alias["resource_class"] = device.resource_class
            if numa_policy:
                alias["numa_policy"] = numa_policy
            aliases.setdefault(alias["name"], alias)
    return list(aliases.values())
