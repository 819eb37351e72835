# SPDX-License-Identifier: Apache-2.0
"""What nova-compute keeps for the host, and how guests get their devices."""

from collections.abc import Iterator, Mapping

from nova_gpu_passthrough.cloud.lint import facts as fix
from nova_gpu_passthrough.cloud.lint.configuration.services import Service
from nova_gpu_passthrough.cloud.lint.facts import Facts
from nova_gpu_passthrough.generate.options import Option
from nova_gpu_passthrough.inventory.findings import Finding, Severity
from nova_gpu_passthrough.nova_rules import guest_topology

_Wanted = Mapping[tuple[str, str], Option]


def check(facts: Facts) -> Iterator[Finding]:
    """Of every compute host of the fleet."""
    for service, offer in facts.computes:
        wanted = facts.compute_options[offer.host]
        yield from _overcommit(service)
        yield from _cpus(service, wanted)
        yield from _memory(service, wanted)
        yield from _libvirt(service, wanted)


def _overcommit(service: Service) -> Iterator[Finding]:
    ratio = service.configuration.number("DEFAULT", "ram_allocation_ratio")
    if ratio is not None and ratio > 1:
        yield Finding(
            "compute.overcommit",
            Severity.FAILURE,
            service.name,
            f"ram_allocation_ratio is {ratio:g}",
            service.configuration.where("DEFAULT", "ram_allocation_ratio"),
            "VFIO pins all memory of a server with a GPU: the host runs out of memory, and its "
            "kernel kills servers.",
            "Set ram_allocation_ratio = 1.0.",
        )


def _cpus(service: Service, wanted: _Wanted) -> Iterator[Finding]:
    for name in ("cpu_dedicated_set", "cpu_shared_set"):
        option = wanted.get(("compute", name))
        found = service.configuration.text("compute", name)
        if option is None or _cpu_set(found) == guest_topology.parse_cpus(option.values[0]):
            continue
        yield Finding(
            "compute.cpu_sets",
            Severity.WARNING,
            service.name,
            f"{name} is {found or 'not set'}, the fleet file makes {option.values[0]}",
            service.configuration.where("compute", name),
            "Flavors and capacity are reckoned with the fleet file's.",
            f"{fix.generate(service.name)} Or say host_cores in the fleet file's settings.",
        )


def _cpu_set(text: str | None) -> frozenset[int] | None:
    try:
        return None if text is None else guest_topology.parse_cpus(text)
    except ValueError:
        # Not equal to anything.
        return None


def _memory(service: Service, wanted: _Wanted) -> Iterator[Finding]:
    option = wanted.get(("DEFAULT", "reserved_host_memory_mb"))
    # Nova's default is 512 MiB (nova/conf/compute.py).
    found = service.configuration.number("DEFAULT", "reserved_host_memory_mb", 512)
    if option is not None and found is not None and found != int(option.values[0]):
        little = found < int(option.values[0])
        yield Finding(
            "compute.reserved_memory",
            Severity.WARNING,
            service.name,
            f"reserved_host_memory_mb is {found:g}, the fleet file makes {option.values[0]}",
            service.configuration.where("DEFAULT", "reserved_host_memory_mb"),
            "Servers' pinned memory leaves the host too little."
            if little
            else "Flavors that fill the host up do not fit.",
            f"{fix.generate(service.name)} Or say reserved_host_memory_mb in the fleet file's "
            "settings.",
        )
    pages = wanted.get(("DEFAULT", "reserved_huge_pages"))
    values = {
        a.value.strip() for a in service.configuration.all(("DEFAULT", "reserved_huge_pages"))
    }
    if pages is not None and values != set(pages.values):
        yield Finding(
            "compute.reserved_pages",
            Severity.WARNING,
            service.name,
            f"reserved_huge_pages is {'; '.join(sorted(values)) or 'not set'}, the fleet file "
            f"makes {'; '.join(pages.values)}",
            service.configuration.where("DEFAULT", "reserved_huge_pages"),
            "Servers with hw:mem_page_size can use up a NUMA node to the last page.",
            fix.generate(service.name),
        )


def _libvirt(service: Service, wanted: _Wanted) -> Iterator[Finding]:
    configuration = service.configuration
    machine = wanted.get(("libvirt", "hw_machine_type"))
    found = configuration.text("libvirt", "hw_machine_type")
    if machine is not None and machine.values[0] not in (found or "").replace(" ", "").split(","):
        yield Finding(
            "compute.machine_type",
            Severity.WARNING,
            service.name,
            f"hw_machine_type is {found or 'not set'}, expected {machine.values[0]}",
            configuration.where("libvirt", "hw_machine_type"),
            "Guests of images that name no machine type have no PCI Express.",
            fix.generate(service.name),
        )
    mode = wanted.get(("libvirt", "cpu_mode"))
    found = configuration.text("libvirt", "cpu_mode")
    if mode is not None and found not in (mode.values[0], "maximum"):
        yield Finding(
            "compute.cpu_mode",
            Severity.FAILURE,
            service.name,
            f"cpu_mode is {found or 'not set'}, expected {mode.values[0]}",
            configuration.where("libvirt", "cpu_mode"),
            "Flavors with hw:maxphysaddr_mode=passthrough, which large BARs need, do not start.",
            fix.generate(service.name),
        )
    ports = wanted.get(("libvirt", "num_pcie_ports"))
    number = configuration.number("libvirt", "num_pcie_ports", 0)
    if ports is not None and number is not None and number < int(ports.values[0]):
        yield Finding(
            "compute.pcie_ports",
            Severity.WARNING,
            service.name,
            f"num_pcie_ports is {number:g}, expected {ports.values[0]}",
            configuration.where("libvirt", "num_pcie_ports"),
            "A guest with all GPUs of the host may have no port left for a disk or NIC that is "
            "attached later.",
            fix.generate(service.name),
        )
