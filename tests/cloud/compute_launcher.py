# SPDX-License-Identifier: Apache-2.0
"""Start nova-compute with Nova's fake libvirt, whose host is that of an inventory.

``python -m tests.cloud.compute_launcher INVENTORY DOMAINS nova-compute's arguments``; the file
DOMAINS is where the fake libvirt keeps its domains while nova-compute does not run.
"""

from __future__ import annotations

import io
import json
import os
import sys
import threading
import types
import warnings
from pathlib import Path
from typing import Any

# Nova's fixtures would enable eventlet; nova-compute runs on native threads.
os.environ["OS_NOVA_DISABLE_EVENTLET_PATCHING"] = "true"
warnings.simplefilter("ignore")

import fixtures  # noqa: E402
import nova.cmd.compute  # noqa: E402
from nova import exception  # noqa: E402
from nova.tests import fixtures as nova_fixtures  # noqa: E402
from nova.tests.fixtures import libvirt as fakelibvirt  # noqa: E402
from nova.virt.libvirt import driver, host  # noqa: E402
from nova.virt.libvirt import utils as libvirt_utils  # noqa: E402

from nova_gpu_passthrough.files import cpu_list  # noqa: E402
from nova_gpu_passthrough.inventory import store  # noqa: E402
from nova_gpu_passthrough.inventory.model import Inventory  # noqa: E402
from nova_gpu_passthrough.inventory.pci import DeviceType, Role  # noqa: E402

#: The next minimum versions of Nova 34 (NEXT_MIN_LIBVIRT_VERSION, NEXT_MIN_QEMU_VERSION in
#: nova/virt/libvirt/driver.py): the default versions of the fake are too old for some traits.
_LIBVIRT = 10_000_000
_QEMU = 8_002_002
_DISK_GIB = 8000
_TYPES = {DeviceType.PCI: "PCI", DeviceType.PF: "PF"}


class Connection(fakelibvirt.Connection):  # type: ignore[misc]
    """A fake libvirt whose domains outlive nova-compute, and that is thread-safe."""

    def __init__(self, domains: Path, **options: Any) -> None:
        super().__init__("qemu:///system", version=_LIBVIRT, hv_version=_QEMU, **options)
        self._file = domains
        self._lock = threading.RLock()
        self._definitions: dict[str, str] = {}
        saved = json.loads(domains.read_text()) if domains.exists() else []
        for definition, running in saved:
            domain = self.defineXML(definition)
            if running:
                domain.create()

    def defineXML(self, xml: str) -> Any:
        with self._lock:
            domain = super().defineXML(xml)
            self._definitions[domain.name()] = xml
            self._save()
        return domain

    def lookupByUUIDString(self, uuid: str) -> Any:
        with self._lock:
            return super().lookupByUUIDString(uuid)

    def listAllDomains(self, flags: int = 0) -> list[Any]:
        with self._lock:
            return super().listAllDomains(flags)

    def _mark_running(self, domain: Any) -> None:
        with self._lock:
            super()._mark_running(domain)
            self._save()

    def _mark_not_running(self, domain: Any) -> None:
        with self._lock:
            super()._mark_not_running(domain)
            self._save()

    def _undefine(self, domain: Any) -> None:
        with self._lock:
            super()._undefine(domain)
            self._definitions.pop(domain.name(), None)
            self._save()

    def _save(self) -> None:
        running = {domain.name() for domain in self._running_vms.values()}
        saved = [(xml, name in running) for name, xml in self._definitions.items()]
        # Write atomically: this process may be killed at any time.
        new = self._file.with_suffix(".new")
        new.write_text(json.dumps(saved))
        new.replace(self._file)


def host_info(inventory: Inventory) -> Any:
    """Return CPUs and memory as libvirt reports them. All NUMA nodes must be alike."""
    nodes = inventory.numa_nodes
    cores = nodes[0].cores
    threads = len(cpu_list.parse(cores[0])) if cores else 1
    info = fakelibvirt.HostInfo(
        cpu_nodes=1,  # of each socket
        cpu_sockets=len(nodes),
        cpu_cores=len(cores),
        cpu_threads=threads,
        kB_mem=nodes[0].memory_mib * 1024 * len(nodes),
    )
    # The cells have their memory (KiB) by now. From here on kB_mem is only what getInfo() returns,
    # which libvirt gives in MiB.
    info.kB_mem = nodes[0].memory_mib * len(nodes)
    return info


def pci_info(inventory: Inventory) -> Any:
    """Return the PCI functions that could be passed through."""
    info = fakelibvirt.HostPCIDevicesInfo(num_pci=0, num_pfs=0, num_vfs=0)
    for number, device in enumerate(inventory.devices):
        if device.role is Role.BRIDGE:
            continue
        bus, slot = (int(part, 16) for part in device.slot.split(":")[1:])
        kind = _TYPES[device.device_type]
        group = device.iommu_group
        info.add_device(
            dev_type=kind,
            bus=bus,
            slot=slot,
            function=device.function,
            iommu_group=number + 40 if group is None else group,
            numa_node=-1 if device.numa_node is None else device.numa_node,
            vf_ratio=0 if kind == "PF" else None,
            vend_id=device.vendor_id,
            prod_id=device.product_id,
            prod_name=device.name or device.role,
            driver_name=device.driver or "vfio-pci",
        )
    return info


def _only_power_off(self: Any, context: Any, instance: Any, *arguments: Any, **more: Any) -> str:
    """Replace the disk copy of a cold migration, since there is no disk."""
    self.power_off(instance, 0, 0)
    return "[]"


def _create_disk(
    self: Any, context: Any, instance: Any, *_: Any, suffix: str = "", **__: Any
) -> tuple[bool, bool]:
    """Create an empty root disk: to start or reboot a server, Nova looks for it."""
    folder = Path(libvirt_utils.get_instance_path(instance))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"disk{suffix}").touch()
    return False, False


def _image_info(path: str, format: str | None = None) -> Any:
    """Describe a disk as qemu-img does, which this machine need not have."""
    if not os.path.exists(path):
        raise exception.DiskNotFound(location=path)
    size = os.path.getsize(path)
    return types.SimpleNamespace(
        disk_size=size, virtual_size=size, backing_file=None, file_format=format or "raw"
    )


def patches(connection: Any) -> list[fixtures.Fixture]:
    """Patch what the driver needs on a machine without libvirt."""
    cpus = set(range(connection.host_info.cpus))
    disk = {"total": _DISK_GIB, "used": 0, "free": _DISK_GIB}

    def replaced(where: Any, name: str, new: Any) -> fixtures.Fixture:
        return fixtures.MonkeyPatch(f"{where.__module__}.{where.__qualname__}.{name}", new)

    libvirt_driver = driver.LibvirtDriver
    return [
        nova_fixtures.LibvirtFixture(),
        nova_fixtures.LibvirtImageBackendFixture(),
        nova_fixtures.CGroupsFixture(),
        nova_fixtures.OSBrickFixture(),
        nova_fixtures.PrivsepFixture(),
        replaced(host.Host, "get_connection", lambda self: connection),
        replaced(host.Host, "get_online_cpus", lambda self: cpus),
        replaced(libvirt_driver, "_create_image", _create_disk),
        fixtures.MonkeyPatch("nova.virt.images.qemu_img_info", _image_info),
        replaced(libvirt_driver, "_get_local_gb_info", staticmethod(lambda: dict(disk))),
        replaced(libvirt_driver, "get_host_uptime", lambda self: " 12:00:00 up 1 day"),
        replaced(libvirt_driver, "migrate_disk_and_power_off", _only_power_off),
        fixtures.MockPatch(
            "nova.virt.libvirt.driver.libvirt_utils.file_open",
            side_effect=lambda *_, **__: io.BytesIO(b""),
        ),
        fixtures.MockPatch("nova.privsep.utils.supports_direct_io", return_value=True),
        # These devices are not in this machine's sysfs.
        fixtures.MockPatch("nova.pci.utils.is_physical_function", return_value=False),
        fixtures.MockPatch("nova.pci.utils.get_function_by_ifname", return_value=(None, False)),
    ]


def main() -> None:
    path, domains, *arguments = sys.argv[1:]
    sys.argv = ["nova-compute", *arguments]
    inventory = store.load(Path(path))
    connection = Connection(
        Path(domains),
        host_info=host_info(inventory),
        pci_info=pci_info(inventory),
        hostname=inventory.host,
    )
    for patch in patches(connection):
        patch.setUp()
    nova.cmd.compute.main()


if __name__ == "__main__":
    main()
