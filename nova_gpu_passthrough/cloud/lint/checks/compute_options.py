# SPDX-License-Identifier: Apache-2.0
"""Options of nova-compute: what is reserved for the host, and how guests get their devices."""

from collections.abc import Iterator, Mapping

from nova_gpu_passthrough.cloud.lint.check import lint_check
from nova_gpu_passthrough.cloud.lint.configuration.services import ConfiguredService
from nova_gpu_passthrough.cloud.lint.facts import Facts
from nova_gpu_passthrough.generate.service_options import Option
from nova_gpu_passthrough.inventory.findings import Finding, Severity
from nova_gpu_passthrough.inventory.shell_fix import comment, script
from nova_gpu_passthrough.nova_rules import guest_topology

_Options = Mapping[tuple[str, str], Option]


@lint_check()
def check(facts: Facts) -> Iterator[Finding]:
    """Check every compute host of the fleet."""
    for service, offer in facts.compute_services:
        expected = facts.compute_options[offer.host]
        yield from _overcommit(facts, service)
        yield from _cpus(facts, service, expected)
        yield from _memory(facts, service, expected)
        yield from _libvirt(facts, service, expected)
        yield from _display(facts, service, expected)


def _overcommit(facts: Facts, service: ConfiguredService) -> Iterator[Finding]:
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
            _fix(facts, service, ("DEFAULT", "ram_allocation_ratio")),
        )


def _cpus(facts: Facts, service: ConfiguredService, expected: _Options) -> Iterator[Finding]:
    for name in ("cpu_dedicated_set", "cpu_shared_set"):
        option = expected.get(("compute", name))
        configured = service.configuration.text("compute", name)
        if option is None or _cpu_set(configured) == guest_topology.parse_cpus(option.values[0]):
            continue
        yield Finding(
            "compute.cpu_sets",
            Severity.WARNING,
            service.name,
            f"{name} is {configured or 'not set'}, the fleet file gives {option.values[0]}",
            service.configuration.where("compute", name),
            "Flavors and capacity are calculated from the fleet file.",
            _fix(facts, service, ("compute", name), "set settings.host_cores"),
        )


def _cpu_set(text: str | None) -> frozenset[int] | None:
    try:
        return None if text is None else guest_topology.parse_cpus(text)
    except ValueError:
        # An invalid set differs from any other.
        return None


def _memory(facts: Facts, service: ConfiguredService, expected: _Options) -> Iterator[Finding]:
    option = expected.get(("DEFAULT", "reserved_host_memory_mb"))
    # Nova's default is 512 MiB (nova/conf/compute.py).
    configured = service.configuration.number("DEFAULT", "reserved_host_memory_mb", 512)
    if option is not None and configured is not None and configured != int(option.values[0]):
        too_little = configured < int(option.values[0])
        yield Finding(
            "compute.reserved_memory",
            Severity.WARNING,
            service.name,
            f"reserved_host_memory_mb is {configured:g}, the fleet file gives {option.values[0]}",
            service.configuration.where("DEFAULT", "reserved_host_memory_mb"),
            "The pinned memory of servers leaves too little for the host."
            if too_little
            else "Flavors that use the whole host do not fit.",
            _fix(
                facts,
                service,
                ("DEFAULT", "reserved_host_memory_mb"),
                f"set settings.reserved_host_memory_mb to {configured:g}",
            ),
        )
    pages = expected.get(("DEFAULT", "reserved_huge_pages"))
    values = {
        a.value.strip() for a in service.configuration.all(("DEFAULT", "reserved_huge_pages"))
    }
    if pages is not None and values != set(pages.values):
        yield Finding(
            "compute.reserved_pages",
            Severity.WARNING,
            service.name,
            f"reserved_huge_pages is {'; '.join(sorted(values)) or 'not set'}, the fleet file "
            f"gives {'; '.join(pages.values)}",
            service.configuration.where("DEFAULT", "reserved_huge_pages"),
            "Servers with hw:mem_page_size can use all pages of a NUMA node.",
            _fix(facts, service, ("DEFAULT", "reserved_huge_pages")),
        )


def _items(text: str | None) -> list[str]:
    return (text or "").replace(" ", "").split(",")


def _libvirt(facts: Facts, service: ConfiguredService, expected: _Options) -> Iterator[Finding]:
    configuration = service.configuration
    machine = expected.get(("libvirt", "hw_machine_type"))
    configured = configuration.text("libvirt", "hw_machine_type")
    if machine is not None and machine.values[0] not in _items(configured):
        yield Finding(
            "compute.machine_type",
            Severity.WARNING,
            service.name,
            f"hw_machine_type is {configured or 'not set'}, expected {machine.values[0]}",
            configuration.where("libvirt", "hw_machine_type"),
            "Guests of images without a machine type have no PCI Express.",
            _fix(facts, service, ("libvirt", "hw_machine_type")),
        )
    mode = expected.get(("libvirt", "cpu_mode"))
    configured = configuration.text("libvirt", "cpu_mode")
    if mode is not None and configured not in (mode.values[0], "maximum"):
        yield Finding(
            "compute.cpu_mode",
            Severity.FAILURE,
            service.name,
            f"cpu_mode is {configured or 'not set'}, expected {mode.values[0]}",
            configuration.where("libvirt", "cpu_mode"),
            "Flavors with hw:maxphysaddr_mode=passthrough, which large BARs require, do not start.",
            _fix(facts, service, ("libvirt", "cpu_mode")),
        )
    expected_ports = expected.get(("libvirt", "num_pcie_ports"))
    ports = configuration.number("libvirt", "num_pcie_ports", 0)
    if expected_ports is not None and ports is not None and ports < int(expected_ports.values[0]):
        yield Finding(
            "compute.pcie_ports",
            Severity.WARNING,
            service.name,
            f"num_pcie_ports is {ports:g}, expected {expected_ports.values[0]}",
            configuration.where("libvirt", "num_pcie_ports"),
            "A guest with all GPUs of the host may lack a port for a disk or NIC that is attached "
            "later.",
            _fix(facts, service, ("libvirt", "num_pcie_ports")),
        )


def _display(facts: Facts, service: ConfiguredService, expected: _Options) -> Iterator[Finding]:
    """Check that nothing gives guests a display if the fleet file wants none."""
    for section, default in (("vnc", True), ("spice", False)):
        option = (section, "enabled")
        if option not in expected or not service.configuration.flag(*option, default):
            continue
        assignment = service.configuration.last(*option)
        yield Finding(
            "compute.display",
            Severity.WARNING,
            service.name,
            f"[{section}] enabled is {assignment.value if assignment else 'true by default'}, and "
            "the fleet file has settings.headless",
            service.configuration.where(*option),
            "Guests have an emulated display, a USB tablet and a USB controller beside their GPUs.",
            _fix(facts, service, option, "set settings.headless to false"),
        )


def _fix(
    facts: Facts, service: ConfiguredService, option: tuple[str, str], alternative: str = ""
) -> str:
    """Return how to set an option as generated.

    :param alternative: what to change in the fleet file if the configured value is intended
    """
    assignments = service.configuration.all(option)
    fix = facts.fixes.generate(service, *assignments)
    if alternative:
        text = f"If it is intended: in {facts.fixes.fleet}, {alternative}."
        return script(fix, comment(text))
    return fix
