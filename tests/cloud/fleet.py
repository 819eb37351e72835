# SPDX-License-Identifier: Apache-2.0
"""The compute hosts of the control plane, as inventories of the audit.

``gpu01``, ``gpu02``  8 H100 SXM each, 4 per NUMA node, NVSwitch partitions of 8, 4 and 2
``gpu03``             4 L40S with their audio functions, 2 per NUMA node, no links
``cpu01``             none
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from nova_gpu_passthrough.fleet import isolation
from nova_gpu_passthrough.fleet.offers import CONTROL
from nova_gpu_passthrough.fleet.releases import parse
from nova_gpu_passthrough.fleet.settings import ENABLED_FILTERS, Settings
from nova_gpu_passthrough.generate import render
from nova_gpu_passthrough.inventory import store
from nova_gpu_passthrough.inventory.host import NumaNode
from nova_gpu_passthrough.inventory.model import Inventory
from tests.unit.generate import builders

NOVA = "34"
_CORES = 32
#: CPUs numbered core by core, as Nova's fake libvirt does.
NUMA_NODES = tuple(
    NumaNode(
        node,
        node,
        f"{2 * _CORES * node}-{2 * _CORES * (node + 1) - 1}",
        tuple(f"{2 * core}-{2 * core + 1}" for core in range(_CORES * node, _CORES * (node + 1))),
        512 * 1024,
        distances=(10, 21) if node == 0 else (21, 10),
    )
    for node in range(2)
)


def hosts() -> tuple[Inventory, ...]:
    return (
        builders.hgx("gpu01", numa_nodes=NUMA_NODES),
        builders.hgx("gpu02", numa_nodes=NUMA_NODES),
        builders.l40s("gpu03", numa_nodes=NUMA_NODES),
        builders.inventory("cpu01", numa_nodes=NUMA_NODES),
    )


def write_inventories(inventories: Sequence[Inventory], folder: Path) -> tuple[Path, ...]:
    """Write a YAML file for each host."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for inventory in inventories:
        path = folder / f"{inventory.host}.yaml"
        path.write_text(store.dump(inventory, "nova-gpu host audit"))
        paths.append(path)
    return tuple(paths)


def write_configuration(
    inventories: Sequence[Inventory], root: Path, settings: Settings | None = None
) -> None:
    """Write the output of ``nova-gpu config generate``, a directory for each host."""
    settings = settings or Settings(
        release=parse(NOVA),
        # Some tests apply fleet files whose groups name projects.
        enabled_filters=(isolation.FILTER, *ENABLED_FILTERS),
    )
    for file in render.generate(inventories, settings).files:
        path = file.below(root)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(file.text)
    for host in (CONTROL, *(inventory.host for inventory in inventories)):
        (root / host / "etc/nova/nova.conf.d").mkdir(parents=True, exist_ok=True)
