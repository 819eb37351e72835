# SPDX-License-Identifier: Apache-2.0
"""Draw a host as a tree: NUMA nodes, switches, GPUs, NICs and links."""

from collections.abc import Iterable

from rich.text import Text
from rich.tree import Tree

from nova_gpu_passthrough.cli.terminal import STYLES
from nova_gpu_passthrough.host.classify import shared_port
from nova_gpu_passthrough.inventory.model import Inventory
from nova_gpu_passthrough.inventory.pci import Gpu, PciDevice, Role
from nova_gpu_passthrough.topology.tags import LINK_SEPARATOR

#: The other devices in a drawing: those that exchange data with GPUs.
_NEIGHBOURS = {Role.NIC: "NIC", Role.NVSWITCH: "NVSwitch"}


def draw(inventory: Inventory) -> Tree:
    """Return the host as a tree of NUMA nodes, switches and devices, then the link groups."""
    tree = Tree(Text(_title(inventory), style="bold"))
    gpus = {gpu.address: gpu for gpu in inventory.gpus}
    shown = [d for d in inventory.devices if d.address in gpus or d.role in _NEIGHBOURS]
    nodes = {node.id: node for node in inventory.numa_nodes}
    without_node = [device for device in shown if device.numa_node is None]
    unknown = {d.numa_node for d in shown if d.numa_node is not None} - {*nodes}
    for node_id in [*nodes, *sorted(unknown)]:
        on_node = [device for device in shown if device.numa_node == node_id]
        if len(nodes) == 1 and node_id in nodes:
            # The firmware of a host with one NUMA node need not report it.
            on_node, without_node = on_node + without_node, []
        node = nodes.get(node_id)
        name = f"NUMA node {node_id}"
        if node:
            name += "" if node.socket is None else f", socket {node.socket}"
            name += f": CPUs {node.cpus or 'none'}, {node.memory_mib / 1024:.0f} GiB"
        _add_devices(tree.add(Text(name)), inventory, on_node, gpus)
    if without_node:
        _add_devices(tree.add(Text("NUMA node not reported")), inventory, without_node, gpus)
    _add_links(tree, inventory.gpus)
    return tree


def _title(inventory: Inventory) -> str:
    machine = " ".join(filter(None, (inventory.machine.vendor, inventory.machine.product)))
    serial = inventory.machine.serial or inventory.machine.chassis_serial
    iommu = inventory.iommu
    state = f"IOMMU {iommu.kind}, {iommu.groups} groups" if iommu.kind else "no IOMMU"
    parts = [inventory.host, machine or None, serial and f"serial {serial}", inventory.cpu.model]
    return ", ".join(filter(None, [*parts, state if inventory.reports_kernel else None]))


def _add_devices(
    tree: Tree, inventory: Inventory, devices: list[PciDevice], gpus: dict[str, Gpu]
) -> None:
    functions = [inventory.by_address[address] for address in gpus]
    switches: dict[str | None, list[PciDevice]] = {}
    for device in devices:
        gpu = gpus.get(device.address)
        port = gpu.switch if gpu else shared_port(device, functions)
        switches.setdefault(port, []).append(device)
    for port, members in sorted(switches.items(), key=lambda item: item[1][0].address):
        # Devices are directly below a bridge to conventional PCI; a switch has a port for each.
        is_bridge = all(device.bridges[-1:] == (port,) for device in members)
        name = f"{'PCI bridge' if is_bridge else 'PCIe switch'} {port}"
        branch = tree if port is None else tree.add(Text(name))
        for device in members:
            branch.add(_device(inventory, device, gpus.get(device.address)))


def _device(inventory: Inventory, device: PciDevice, gpu: Gpu | None) -> Text:
    text = Text(f"{_NEIGHBOURS.get(device.role, 'GPU')} {device.address} ")
    if gpu is None:
        return text.append(device.name or device.ids, style="dim")
    text.append(gpu.model, style="bold")
    link = device.link
    if link and link.width and link.speed_gts:
        text.append(f"  {link.speed_gts:g} GT/s x{link.width}")
    if device.iommu_group is not None:
        text.append(f"  group {device.iommu_group}")
    if gpu.link_group:
        text.append(f"  {LINK_SEPARATOR.join(gpu.link_group)}", style="cyan")
    for companion in inventory.companions(gpu):
        text.append(f"  + {companion.role} .{companion.function}", style="dim")
    verdict = (inventory.verdicts or {}).get(gpu.address)
    if verdict:
        text.append(f"  {verdict}", style=STYLES[verdict])
    return text


def _add_links(tree: Tree, gpus: Iterable[Gpu]) -> None:
    groups: dict[str, list[Gpu]] = {}
    for gpu in gpus:
        if gpu.link_group:
            groups.setdefault(gpu.link_group[0], []).append(gpu)
    for name, members in groups.items():
        addresses = ", ".join(gpu.address for gpu in members)
        # Text, not a string, in which rich would replace ``:ab:`` of ``0000:ab:00.0`` by an emoji.
        tree.add(Text(f"link group {name} ({members[0].link_source}): {addresses}"))
