# SPDX-License-Identifier: Apache-2.0
"""Print the output of ``nvidia-smi`` on a synthetic server.

Formats: openfabric-systems/simllm, tests/fixtures/nccl_topology/vastai_hgx_h200_8x/
node_inventory.txt (a recorded HGX H200: tabs, header, legends, ``nvlink -s`` and ``-R``), and
akash-network/provider-configs pull request 99 (``--query-gpu``). UUIDs are made up.
"""

from collections.abc import Mapping

from tests.trees.device import Device
from tests.trees.model import Machine, PciLocation
from tests.trees.pci import cpu_list

_LEGEND = """
Legend:

  X    = Self
  SYS  = Connection traversing PCIe as well as the SMP interconnect between NUMA nodes (e.g., QPI/UPI)
  NODE = Connection traversing PCIe as well as the interconnect between PCIe Host Bridges within a NUMA node
  PHB  = Connection traversing PCIe as well as a PCIe Host Bridge (typically the CPU)
  PXB  = Connection traversing multiple PCIe bridges (without traversing the PCIe Host Bridge)
  PIX  = Connection traversing at most a single PCIe bridge
  NV#  = Connection traversing a bonded set of # NVLinks
"""  # noqa: E501

_NAMES = {
    0x2330: "NVIDIA H100 80GB HBM3",
    0x2335: "NVIDIA H200",
    0x26B9: "NVIDIA L40S",
    0x20F1: "NVIDIA A100-PCIE-40GB",
}


def bus_id(device: Device) -> str:
    """Return an address as NVML writes it: a domain of eight digits, upper case."""
    return f"0000{device.address}".upper()


def all_linked(machine: Machine, links: int) -> dict[tuple[int, int], int]:
    """Return the links between GPUs that NVSwitches join: the same number for every pair."""
    count = len(machine.gpus())
    return {(a, b): links for a in range(count) for b in range(a + 1, count)}


def path(one: PciLocation, other: PciLocation) -> str:
    """Return the kind of connection through PCI Express: PIX, PXB, PHB, NODE or SYS."""
    above = {port.address for port in other.parents}
    common = next((port for port in one.parents if port.address in above), None)
    if common is None:
        if one.bridge == other.bridge:
            return "PHB"
        return "NODE" if one.numa_node == other.numa_node else "SYS"
    # With one switch, its upstream port is common and a downstream port is above each device.
    hops = [location.parents.index(common) for location in (one, other)]
    return "PIX" if max(hops) <= 1 else "PXB"


def topology(machine: Machine, links: Mapping[tuple[int, int], int] | None = None) -> str:
    """Return ``nvidia-smi topo -m``.

    :param links: number of NVLinks by pair of GPU indexes, the smaller first
    """
    gpus = machine.gpus()
    nics = sorted(
        (device for device in machine.devices().values() if device.infiniband),
        key=lambda device: int((device.infiniband or "").rpartition("_")[2]),
    )
    columns = [f"GPU{n}" for n in range(len(gpus))] + [f"NIC{n}" for n in range(len(nics))]
    locations = [machine.location(device.address) for device in (*gpus, *nics)]
    cpus = {node.id: cpu_list(node.cpus) for node in machine.nodes}
    lines = ["\t".join(["", *columns, "CPU Affinity", "NUMA Affinity", "GPU NUMA ID"])]
    for row, (name, location) in enumerate(zip(columns, locations, strict=True)):
        cells = [name]
        for column, other in enumerate(locations):
            linked = (links or {}).get((min(row, column), max(row, column)))
            if row == column:
                cells.append(" X ")
            elif linked and max(row, column) < len(gpus):
                cells.append(f"NV{linked}")
            else:
                cells.append(path(location, other))
        tail = (
            [cpus[location.numa_node], str(location.numa_node), "", "N/A"]
            if row < len(gpus)
            else [""] * 4
        )
        lines.append("\t".join([*cells, *tail]))
    legend = "".join(f"  NIC{n}: {nic.infiniband}\n" for n, nic in enumerate(nics))
    return "\n".join(lines) + "\n" + _LEGEND + f"\nNIC Legend:\n\n{legend}"


def _head(index: int, device: Device) -> str:
    uuid = f"GPU-00000000-0000-0000-0000-{index:012x}"
    return f"GPU {index}: {_NAMES[device.device]} (UUID: {uuid})\n"


def listing(machine: Machine) -> str:
    """Return ``nvidia-smi -L``, which has no addresses."""
    return "".join(_head(index, device) for index, device in enumerate(machine.gpus()))


def query(machine: Machine) -> str:
    """Return ``nvidia-smi --query-gpu=index,pci.bus_id --format=csv``."""
    rows = [f"{index}, {bus_id(device)}\n" for index, device in enumerate(machine.gpus())]
    return "index, pci.bus_id\n" + "".join(rows)


def link_status(machine: Machine, links: int, speed: str) -> str:
    """Return ``nvidia-smi nvlink --status``.

    :param speed: speed of one link in one direction in GB/s, as printed
    """
    return "".join(
        _head(index, device) + "".join(f"\t Link {n}: {speed} GB/s\n" for n in range(links))
        for index, device in enumerate(machine.gpus())
    )


def remote_links_to_switches(machine: Machine) -> str:
    """Return ``nvidia-smi nvlink -R`` of an HGX H100: 4 + 5 + 5 + 4 links to four NVSwitches.

    The counts are published (NVIDIA/nccl issue 1182); the order of links and ports is not.
    """
    switches = [one for one in machine.devices().values() if one.class_code == 0x068000]
    output = ""
    for index, device in enumerate(machine.gpus()):
        output += _head(index, device)
        remotes = [
            (switch, index * 5 + port)
            for switch, count in zip(switches, (4, 5, 5, 4), strict=True)
            for port in range(count)
        ]
        for link, (switch, port) in enumerate(remotes):
            output += f"\t Link {link}: Remote Device {bus_id(switch)}: Link {port}\n"
    return output


def remote_links_to_gpus(machine: Machine, links: Mapping[tuple[int, int], int]) -> str:
    """Return ``nvidia-smi nvlink -R`` of cards with bridges, equal link numbers at both ends."""
    gpus = machine.gpus()
    output = ""
    for index, device in enumerate(gpus):
        output += _head(index, device)
        number = 0
        for pair, count in links.items():
            if index in pair:
                (other,) = set(pair) - {index}
                for _ in range(count):
                    remote = bus_id(gpus[other])
                    output += f"\t Link {number}: Remote Device {remote}: Link {number}\n"
                    number += 1
    return output
