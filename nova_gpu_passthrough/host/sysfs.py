# SPDX-License-Identifier: Apache-2.0
"""Reads a host's facts from /sys and /proc into an inventory, without judging them."""

import datetime
from collections.abc import Mapping

from nova_gpu_passthrough.catalog.pci_ids import PATHS, PciIds
from nova_gpu_passthrough.host import numa, platform
from nova_gpu_passthrough.host.classify import gpus_of
from nova_gpu_passthrough.host.functions import FunctionReader
from nova_gpu_passthrough.host.modules import Modules
from nova_gpu_passthrough.host.root import Root
from nova_gpu_passthrough.inventory.model import Inventory


def read(root: Root, host: str | None = None, named: Mapping[str, str] | None = None) -> Inventory:
    """The facts of a host, no findings; what could not be read is in ``root.findings()``.

    :param host: the host's name in Nova, if it is not the kernel's host name
    :param named: models by the operator's word, by ``vendor:product``
    """
    release = platform.kernel_release(root)
    modules = Modules(root, release)
    named = named or {}
    texts = [text for path in PATHS if (text := root.text(path))]
    devices = FunctionReader(root, modules, PciIds(texts), named).read_all()
    return Inventory(
        host or _host_name(root),
        "sysfs",
        now(),
        platform.read_machine(root),
        platform.read_cpu(root),
        platform.read_kernel(root, release, modules),
        platform.read_iommu(root),
        numa.read_nodes(root),
        devices,
        gpus_of(devices, named),
    )


def now() -> str:
    """The time of an audit: ISO 8601 in UTC, to the second."""
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _host_name(root: Root) -> str:
    for path in ("/proc/sys/kernel/hostname", "/etc/hostname"):
        name = root.text(path)
        if name:
            return name.split()[0]
    return root.path.resolve().name or "localhost"
