# SPDX-License-Identifier: Apache-2.0
"""Read the facts of a host from /sys and /proc into an inventory, without judging them."""

import datetime
from collections.abc import Mapping

from nova_gpu_passthrough.catalog.pci_ids import PATHS, PciIds
from nova_gpu_passthrough.host import numa_nodes, platform, serial_numbers
from nova_gpu_passthrough.host.classify import gpus_of
from nova_gpu_passthrough.host.kernel_modules import KernelModules
from nova_gpu_passthrough.host.pci_functions import PciFunctionReader
from nova_gpu_passthrough.host.root import Root
from nova_gpu_passthrough.inventory.model import Inventory


def read(
    root: Root, host: str | None = None, model_names: Mapping[str, str] | None = None
) -> Inventory:
    """Return the facts of a host without findings; ``root.findings()`` has the unreadable files.

    :param host: the host's name in Nova, if it is not the kernel's host name
    :param model_names: the operator's names of GPU models, by ``vendor:product``
    """
    release = platform.kernel_release(root)
    modules = KernelModules(root, release)
    model_names = model_names or {}
    texts = [text for path in PATHS if (text := root.text(path))]
    devices = PciFunctionReader(root, modules, PciIds(texts), model_names).read_all()
    return Inventory(
        host or _host_name(root),
        "sysfs",
        now(),
        serial_numbers.read_machine(root, platform.read_machine(root)),
        platform.read_cpu(root),
        platform.read_kernel(root, release, modules),
        platform.read_iommu(root),
        numa_nodes.read_nodes(root),
        devices,
        gpus_of(devices, model_names),
    )


def now() -> str:
    """Return the current time for an inventory: ISO 8601 in UTC, to the second."""
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _host_name(root: Root) -> str:
    for path in ("/proc/sys/kernel/hostname", "/etc/hostname"):
        name = root.text(path)
        if name:
            return name.split()[0]
    return root.path.resolve().name or "localhost"
