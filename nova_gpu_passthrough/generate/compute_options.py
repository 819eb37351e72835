# SPDX-License-Identifier: Apache-2.0
"""The options of nova-compute on a host, besides the aliases of ``control_options``."""

from collections.abc import Iterator

from nova_gpu_passthrough.files import cpu_list
from nova_gpu_passthrough.fleet import cpu_sets, device_spec, memory
from nova_gpu_passthrough.fleet.aliases import AliasMap
from nova_gpu_passthrough.fleet.flavors.host_layout import needs_wide_addresses
from nova_gpu_passthrough.fleet.offers import HostOffer, Note
from nova_gpu_passthrough.fleet.settings import Settings
from nova_gpu_passthrough.generate.service_options import Option, Section, option

#: PCIe ports for disks, network ports, the random number generator and later attachments.
_OTHER_PORTS = 8
#: Nova's maximum (nova/conf/libvirt.py).
_MAX_PORTS = 28


def make(
    offer: HostOffer, aliases: AliasMap, settings: Settings
) -> tuple[tuple[Section, ...], list[Note]]:
    """Make the sections of a host, with notes about options that cannot be proposed."""
    notes: list[Note] = []
    plan = memory.plan(offer, settings.reserved_host_memory_mb, settings.hugepages)
    sets = cpu_sets.propose(offer, settings.host_cores)
    if plan is None:
        notes.append(Note(offer.host, "its memory is unknown, so none is reserved for the host"))
    elif settings.hugepages and not plan.huge_pages:
        notes.append(
            Note(offer.host, "1 GiB pages are proposed only for x86 hosts with enough memory")
        )
    if sets is None:
        notes.append(
            Note(
                offer.host,
                "its cores are unknown or too few, so cpu_dedicated_set and cpu_shared_set are not "
                "proposed",
            )
        )
    sections = (
        Section("DEFAULT", tuple(_memory(offer, plan))),
        Section("compute", tuple(_cpus(sets))),
        Section("libvirt", tuple(_libvirt(offer))),
        *(_headless() if settings.headless else ()),
        Section("pci", tuple(_pci(offer, aliases, settings))),
    )
    return sections, notes


def _memory(offer: HostOffer, plan: memory.MemoryPlan | None) -> Iterator[Option]:
    yield option(
        "ram_allocation_ratio",
        "1.0",
        "VFIO pins all memory of a guest with a GPU, so memory cannot be overcommitted.",
    )
    if plan is None:
        return
    what = "for the host and QEMU"
    if plan.huge_pages:
        pages = ", ".join(f"node {node}: {count}" for node, count in plan.huge_pages.items())
        what = f"all memory outside of the 1 GiB pages (allocated at boot; {pages})"
    yield option(
        "reserved_host_memory_mb",
        plan.reserved_mib,
        f"A proposal: of {plan.total_mib} MiB, {what}.",
    )
    reserved = memory.reserved_small_pages(offer, plan)
    if reserved:
        yield Option(
            "reserved_huge_pages",
            tuple(
                f"node:{node},size:{memory.SMALL_PAGE_KIB},count:{count}"
                for node, count in reserved.items()
            ),
            "The same by NUMA node, in small pages (KiB), for servers with hw:mem_page_size.",
        )


def _cpus(sets: cpu_sets.CpuSets | None) -> Iterator[Option]:
    if sets is None:
        return
    yield option(
        "cpu_dedicated_set",
        cpu_list.to_text(sets.dedicated),
        "A proposal in whole cores, for pinned vCPUs (hw:cpu_policy=dedicated) on the GPUs' NUMA "
        f"nodes; the host keeps {cpu_list.to_text(sets.host) or 'no CPUs'}. Nova refuses to start "
        "while a server without pinning runs on CPUs outside of cpu_shared_set.",
    )
    if sets.shared:
        yield option(
            "cpu_shared_set",
            cpu_list.to_text(sets.shared),
            "vCPUs of other servers, and emulator threads (hw:emulator_threads_policy=share).",
        )


def _libvirt(offer: HostOffer) -> Iterator[Option]:
    if offer.inventory.cpu.is_x86:
        yield option(
            "hw_machine_type",
            "x86_64=q35",
            "PCI Express in guests. Existing servers keep their machine type.",
        )
        if needs_wide_addresses(offer):
            yield option(
                "cpu_mode",
                "host-passthrough",
                "libvirt allows hw:maxphysaddr_mode=passthrough only with this mode; without it, "
                "the GPUs' BARs do not fit into large guests.",
            )
    ports = min(len(offer.devices) + _OTHER_PORTS, _MAX_PORTS)
    yield option(
        "num_pcie_ports",
        ports,
        f"For a server with the {len(offer.devices)} devices of this host, and others; at most "
        f"{_MAX_PORTS}.",
    )


def _headless() -> Iterator[Section]:
    """Yield what keeps emulated graphics and USB out of guests.

    Only a guest with graphics gets a video device, a pointer and, on Arm, a keyboard, and only one
    with a USB device a USB controller (``_get_guest_config``, ``_guest_add_video_device`` and
    ``_guest_add_usb_root_controller`` in nova/virt/libvirt/driver.py).
    """
    display = option(
        "enabled",
        False,
        "Guests have no emulated display, pointer and USB controller, and so no VNC console. This "
        "applies to all servers of the host, from their next start on.",
    )
    yield Section("vnc", (display,))
    yield Section("spice", (option("enabled", False, "The same for the SPICE console."),))
    pointer = option(
        "pointer_model",
        "ps2mouse",
        "No USB tablet, and so no USB controller, even where a display is enabled again.",
    )
    yield Section("DEFAULT", (pointer,))


def _pci(offer: HostOffer, aliases: AliasMap, settings: Settings) -> Iterator[Option]:
    yield option(
        "report_in_placement",
        True,
        "Every device becomes a resource provider. This cannot be switched off again.",
    )
    entries = device_spec.make(offer, aliases, settings)
    yield Option(
        "device_spec",
        tuple(device_spec.to_json(entry) for entry in entries),
        "One entry for each function. The gpu_ tags are for GpuPassthroughFilter.",
    )
