# SPDX-License-Identifier: Apache-2.0
"""Read the PCI functions of a host from /sys/bus/pci/devices.

Files: Documentation/ABI/testing/sysfs-bus-pci in the kernel's source.
"""

import re
from collections.abc import Mapping

from nova_gpu_passthrough.catalog.pci_ids import PciIds
from nova_gpu_passthrough.host import config_space, serial_numbers
from nova_gpu_passthrough.host.classify import role_of
from nova_gpu_passthrough.host.kernel_modules import KernelModules
from nova_gpu_passthrough.host.root import Root
from nova_gpu_passthrough.inventory.pci import COMPANIONS, Bar, PciDevice, PcieLink, Role

DEVICES = "/sys/bus/pci/devices"
_ADDRESS = re.compile(r"[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]")
#: Flags of a line in ``resource`` (include/linux/ioport.h).
_IO, _MEMORY, _PREFETCH, _64BIT, _UNSET = 0x100, 0x200, 0x2000, 0x100000, 0x20000000
#: Lines of ``resource``: 0 to 5 are the function's BARs, 6 its ROM, 7 to 12 the BARs of its VFs.
_ROM, _LAST_VF_BAR = 6, 12


class PciFunctionReader:
    """Reads the PCI functions below one root.

    :param model_names: the operator's names of GPU models, by ``vendor:product``
    """

    def __init__(
        self, root: Root, modules: KernelModules, pci_ids: PciIds, model_names: Mapping[str, str]
    ) -> None:
        self._root = root
        self._modules = modules
        self._pci_ids = pci_ids
        self._model_names = model_names

    def read_all(self) -> tuple[PciDevice, ...]:
        """Return all functions, in the order of their addresses."""
        addresses = [name for name in self._root.names(DEVICES) if _ADDRESS.fullmatch(name)]
        folders = {
            address: folder
            for address in addresses
            if (folder := self._root.resolve(f"{DEVICES}/{address}"))
        }
        for address in addresses:
            if address not in folders:
                self._note_unreadable(address)
        bridges = _bridges_above(folders) or self._bridges_by_bus(folders)
        devices = []
        for address, folder in folders.items():
            above = bridges.get(address, ())
            slot = folders.get(above[-1]) if above else None
            device = self._read(address, folder, above, slot)
            if device is None:
                self._note_unreadable(address)
            else:
                devices.append(device)
        return tuple(devices)

    def _note_unreadable(self, address: str) -> None:
        self._root.note(
            f"{DEVICES}/{address}", "has no readable class, vendor or device: it may be unplugged"
        )

    def _read(
        self, address: str, folder: str, bridges: tuple[str, ...], slot: str | None
    ) -> PciDevice | None:
        """Read one function; ``slot`` is the folder of the bridge directly above it."""
        root = self._root
        class_code, vendor, product = (
            self._hex(f"{folder}/{name}", digits)
            for name, digits in (("class", 6), ("vendor", 4), ("device", 4))
        )
        if class_code is None or vendor is None or product is None:
            return None
        role = role_of(class_code, vendor, product, self._model_names)
        # Facts that only passthrough needs are read for GPUs and companions only: on a host with
        # 256 functions, reading them for all would dominate the run time.
        is_passed = role is Role.GPU or role in COMPANIONS
        node = root.number(f"{folder}/numa_node")
        group = root.link_name(f"{folder}/iommu_group")
        parent = root.link_name(f"{folder}/physfn")
        config = (root.data(f"{folder}/config", 4096) or b"") if role is Role.BRIDGE else b""
        slot_config = (root.data(f"{slot}/config", 4096) or b"") if slot and is_passed else b""
        watts, cap = self._power(folder) if role is Role.GPU else (None, None)
        override = root.text(f"{folder}/driver_override")
        modalias = root.text(f"{folder}/modalias") if is_passed else None
        return PciDevice(
            address,
            class_code,
            vendor,
            product,
            role,
            name=self._pci_ids.name(vendor, product),
            subsystem_vendor_id=self._hex(f"{folder}/subsystem_vendor", 4),
            subsystem_product_id=self._hex(f"{folder}/subsystem_device", 4),
            numa_node=node if node is not None and node >= 0 else None,
            iommu_group=int(group) if group and group.isdecimal() else None,
            driver=root.link_name(f"{folder}/driver"),
            driver_override=override if override not in ("", "(null)") else None,
            modules=self._modules.matching(modalias) if modalias else (),
            bridges=bridges,
            boot_vga=class_code.startswith("0300") and root.text(f"{folder}/boot_vga") == "1",
            link=self._link(folder, slot) if role is not Role.BRIDGE else None,
            bars=self._bars(folder) if is_passed else (),
            reset_methods=self._reset_methods(folder) if is_passed else None,
            d3cold_allowed=_flag(root.text(f"{folder}/d3cold_allowed")) if is_passed else None,
            power_state=root.text(f"{folder}/power_state") if is_passed else None,
            sriov_total_vfs=root.number(f"{folder}/sriov_totalvfs"),
            sriov_vfs=root.number(f"{folder}/sriov_numvfs") or 0,
            physical_function=parent if parent and _ADDRESS.fullmatch(parent) else None,
            acs=config_space.acs_controls(config),
            slot_power_watts=config_space.slot_power_watts(slot_config),
            power_watts=watts,
            power_cap_watts=cap,
            serial=serial_numbers.read_card(root, folder)
            if role in serial_numbers.ROLES and parent is None
            else None,
        )

    def _hex(self, path: str, digits: int) -> str | None:
        def parse(text: str) -> str:
            # The kernel writes all digits; fewer mean a truncated file.
            if not re.fullmatch(rf"0x[0-9a-fA-F]{{{digits}}}", text):
                raise ValueError(text)
            return text[2:].lower()

        return self._root.parsed(path, parse, f"0x and {digits} hexadecimal digits")

    def _link(self, folder: str, slot: str | None) -> PcieLink | None:
        values = (
            self._speed(f"{folder}/current_link_speed"),
            self._width(f"{folder}/current_link_width"),
            self._speed(f"{folder}/max_link_speed"),
            self._width(f"{folder}/max_link_width"),
            self._speed(f"{slot}/max_link_speed") if slot else None,
            self._width(f"{slot}/max_link_width") if slot else None,
        )
        return PcieLink(*values) if any(values[:4]) else None

    def _speed(self, path: str) -> float | None:
        """Read a speed: ``16.0 GT/s PCIe``, in older kernels ``8 GT/s``; ``Unknown`` is None."""
        text = self._root.text(path)
        if text is None or text.startswith("Unknown"):
            return None
        return self._root.parsed(path, _gts, "a speed in GT/s")

    def _width(self, path: str) -> int | None:
        width = self._root.number(path)
        # A port without a device, or a device without power, reports 0 or 255.
        return width if width and 0 < width < 64 else None

    def _bars(self, folder: str) -> tuple[Bar, ...]:
        path = f"{folder}/resource"
        bars = []
        for index, line in enumerate((self._root.text(path) or "").splitlines()):
            if index == _ROM or index > _LAST_VF_BAR:
                continue
            try:
                start, end, flags = (_memory_address(word) for word in line.split())
            except ValueError:
                self._root.note(path, f"contains {line[:40]!r}, expected start, end and flags")
                break
            if flags & _MEMORY and not flags & _IO and end > start:
                bars.append(
                    Bar(
                        index,
                        end - start + 1,
                        bool(flags & _PREFETCH),
                        bool(flags & _64BIT),
                        bool(start) and not flags & _UNSET,
                    )
                )
        return tuple(bars)

    def _reset_methods(self, folder: str) -> tuple[str, ...] | None:
        methods = self._root.text(f"{folder}/reset_method")
        if methods is not None:
            return tuple(methods.split())
        # Older kernels have only ``reset``, and only for functions that they can reset.
        if self._root.exists(f"{folder}/reset"):
            return None
        # power_state (5.12) is little older than reset_method (5.15).
        return () if self._root.exists(f"{folder}/power_state") else None

    def _power(self, folder: str) -> tuple[float | None, float | None]:
        """Return power draw and power cap in watts, from the driver's hwmon (microwatts)."""
        for name in self._root.names(f"{folder}/hwmon"):
            monitor = f"{folder}/hwmon/{name}"
            drawn = self._root.number(f"{monitor}/power1_average")
            if drawn is None:
                drawn = self._root.number(f"{monitor}/power1_input")
            cap = self._root.number(f"{monitor}/power1_cap")
            if drawn is not None or cap is not None:
                return (
                    None if drawn is None else drawn / 1e6,
                    None if cap is None else cap / 1e6,
                )
        return None, None

    def _bridges_by_bus(self, folders: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
        """Return the bridges above each function by bus numbers, for flat recordings."""
        ranges = []
        for address, folder in folders.items():
            config = self._root.data(f"{folder}/config", 64)
            buses = config_space.bridge_buses(config) if config else None
            if buses and buses[0]:
                ranges.append((address, address.partition(":")[0], *buses))
        # A bridge nearer to the root has a wider range of buses.
        ranges.sort(key=lambda bus_range: bus_range[2] - bus_range[3])
        return {
            address: tuple(
                bridge
                for bridge, domain, first, last in ranges
                if domain == address.partition(":")[0]
                and first <= int(address.split(":")[1], 16) <= last
            )
            for address in folders
        }


def _bridges_above(folders: Mapping[str, str]) -> dict[str, tuple[str, ...]] | None:
    """Return the bridges above each function by its folder; None if folders are not nested."""
    if not any(folder.startswith("/sys/devices/") for folder in folders.values()):
        return None
    return {
        address: tuple(name for name in folder.split("/")[:-1] if _ADDRESS.fullmatch(name))
        for address, folder in folders.items()
    }


def _gts(text: str) -> float:
    speed = float(text.split()[0] if text else "")
    # float() also accepts NaN and infinity.
    if not 0 < speed < 1000:
        raise ValueError(text)
    return speed


def _memory_address(text: str) -> int:
    address = int(text, 16)
    if not 0 <= address < 2**64:
        raise ValueError(text)
    return address


def _flag(text: str | None) -> bool | None:
    return {"0": False, "1": True}.get(text or "")
