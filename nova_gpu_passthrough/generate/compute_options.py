# SPDX-License-Identifier: Apache-2.0
"""What nova-compute needs on a host, beside the aliases of ``control_options``."""

from collections.abc import Iterator, Mapping

from nova_gpu_passthrough.files import cpu_list
from nova_gpu_passthrough.fleet import cpu_sets, device_spec, memory
from nova_gpu_passthrough.fleet.aliases import Alias, Key
from nova_gpu_passthrough.fleet.flavors.address_space import needs_wide_addresses
from nova_gpu_passthrough.fleet.notes import Note
from nova_gpu_passthrough.fleet.offers import Offer
from nova_gpu_passthrough.fleet.settings import Settings
from nova_gpu_passthrough.generate.options import Option, Section, option

#: PCIe ports for disks, network ports, the random number generator and what is attached later.
_OTHER_PORTS = 8
#: Nova's maximum (nova/conf/libvirt.py).
_MAX_PORTS = 28
_SMALL_PAGE_KIB = 4


def make(
    offer: Offer, known: Mapping[Key, Alias], settings: Settings
) -> tuple[tuple[Section, ...], list[Note]]:
    """Sections for a host, and what could not be proposed."""
    notes: list[Note] = []
    plan = memory.plan(offer, settings.reserved_host_memory_mb, settings.hugepages)
    sets = cpu_sets.propose(offer, settings.host_cores)
    if plan is None:
        notes.append(Note(offer.host, "its memory is not known, so none is reserved for the host"))
    elif settings.hugepages and not plan.huge_pages:
        notes.append(
            Note(offer.host, "1 GiB pages are proposed for x86 hosts with enough memory only")
        )
    if sets is None:
        notes.append(
            Note(
                offer.host,
                "its cores are not known or too few, so no cpu_dedicated_set and cpu_shared_set "
                "are proposed",
            )
        )
    sections = (
        Section("DEFAULT", tuple(_memory(offer, plan))),
        Section("compute", tuple(_cpus(sets))),
        Section("libvirt", tuple(_libvirt(offer))),
        Section("pci", tuple(_pci(offer, known, settings))),
    )
    return sections, notes


def _memory(offer: Offer, plan: memory.MemoryPlan | None) -> Iterator[Option]:
    yield option(
        "ram_allocation_ratio",
        "1.0",
        "VFIO pins all memory of a guest with a GPU: none can be promised twice.",
    )
    if plan is None:
        return
    what = "for the host and QEMU"
    if plan.huge_pages:
        pages = ", ".join(f"node {node}: {count}" for node, count in plan.huge_pages.items())
        what = f"all that is not in 1 GiB pages (made at boot; {pages})"
    yield option(
        "reserved_host_memory_mb",
        plan.reserved_mib,
        f"Of {plan.total_mib} MiB, {what}. A proposal.",
    )
    if offer.inventory.cpu.vendor in ("intel", "amd"):
        yield Option(
            "reserved_huge_pages",
            tuple(
                f"node:{node},size:{_SMALL_PAGE_KIB},count:{mib * 1024 // _SMALL_PAGE_KIB}"
                for node, mib in plan.reserved_by_node.items()
            ),
            "The same by NUMA node, in small pages (KiB), for servers with hw:mem_page_size.",
        )


def _cpus(sets: cpu_sets.CpuSets | None) -> Iterator[Option]:
    if sets is None:
        return
    yield option(
        "cpu_dedicated_set",
        cpu_list.to_text(sets.dedicated),
        "A proposal in whole cores. Pinned vCPUs (hw:cpu_policy=dedicated) on the GPUs' NUMA "
        f"nodes; the host keeps {cpu_list.to_text(sets.host) or 'no CPUs'}. Nova refuses to start "
        "while a server without pinning runs on CPUs that are not in cpu_shared_set.",
    )
    if sets.shared:
        yield option(
            "cpu_shared_set",
            cpu_list.to_text(sets.shared),
            "vCPUs of other servers, and emulator threads (hw:emulator_threads_policy=share).",
        )


def _libvirt(offer: Offer) -> Iterator[Option]:
    vendor = offer.inventory.cpu.vendor
    if vendor in ("intel", "amd"):
        yield option(
            "hw_machine_type",
            "x86_64=q35",
            "PCI Express in guests. Servers that exist keep the machine type they have.",
        )
        if needs_wide_addresses(offer):
            yield option(
                "cpu_mode",
                "host-passthrough",
                "libvirt allows hw:maxphysaddr_mode=passthrough, without which the GPUs' BARs do "
                "not fit into large guests, with this mode only.",
            )
    ports = min(len(offer.devices) + _OTHER_PORTS, _MAX_PORTS)
    yield option(
        "num_pcie_ports",
        ports,
        f"{len(offer.devices)} devices of this host in one server, and others; at most "
        f"{_MAX_PORTS}.",
    )


def _pci(offer: Offer, known: Mapping[Key, Alias], settings: Settings) -> Iterator[Option]:
    yield option(
        "report_in_placement",
        True,
        "Every device is a resource provider. Nova does not let it be switched off again.",
    )
    entries = device_spec.make(offer, known, settings)
    yield Option(
        "device_spec",
        tuple(device_spec.to_json(entry) for entry in entries),
        "One entry for each function. The gpu_ tags are for GpuPassthroughFilter.",
    )
