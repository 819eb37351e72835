# SPDX-License-Identifier: Apache-2.0
"""Kernel modules: which there are, and which would take a device at boot."""

import fnmatch

from nova_gpu_passthrough.host.root import Root
from nova_gpu_passthrough.inventory.host import ModuleState

#: Modules that passthrough needs, and drivers that could take a GPU or a companion first.
VFIO = ("vfio_pci", "vfio_iommu_type1")
WATCHED = (
    *VFIO,
    "nouveau",
    "nvidia",
    "nvidia_drm",
    "amdgpu",
    "radeon",
    "xe",
    "i915",
    "habanalabs",
    "snd_hda_intel",
    "xhci_pci",
    "xhci_hcd",
    "ucsi_ccg",
    "i2c_nvidia_gpu",
)


class Modules:
    """The modules of the running kernel.

    :param release: the kernel's release, which names its folder in /lib/modules
    """

    def __init__(self, root: Root, release: str | None) -> None:
        self._root = root
        folder = f"/lib/modules/{release}" if release else None
        self._folder = folder if folder and root.exists(folder) else None
        self._aliases: list[tuple[str, str]] | None = None
        #: GPUs of one model have the same modalias.
        self._matches: dict[str, tuple[str, ...]] = {}

    def states(self) -> dict[str, ModuleState]:
        """Where the watched modules are; what nothing tells of is left out."""
        loaded = {line.split(" ", 1)[0] for line in self._lines("/proc/modules")}
        builtin = {_name(line) for line in self._listed("modules.builtin")}
        dependencies = self._listed("modules.dep")
        available = {_name(line.partition(":")[0]) for line in dependencies}
        found = {}
        for name in WATCHED:
            if name in loaded:
                found[name] = ModuleState.LOADED
            elif name in builtin:
                found[name] = ModuleState.BUILTIN
            elif name in available:
                found[name] = ModuleState.AVAILABLE
            elif dependencies:
                found[name] = ModuleState.MISSING
            elif self._root.exists(f"/sys/module/{name}"):
                # A recording without /proc/modules does not tell a loaded module from a builtin.
                found[name] = ModuleState.LOADED
        return found

    def matching(self, modalias: str) -> tuple[str, ...]:
        """Modules whose alias matches a device's modalias, as udev would load them."""
        if self._aliases is None:
            self._aliases = []
            for line in self._listed("modules.alias"):
                parts = line.split()
                if len(parts) == 3 and parts[1].startswith("pci:"):
                    self._aliases.append((parts[1], parts[2].replace("-", "_")))
        if modalias in self._matches:
            return self._matches[modalias]
        # The vendor's part is literal in most aliases: skip them before the costly comparison.
        vendor = modalias[: len("pci:v00000000")]
        found = {
            module
            for pattern, module in self._aliases
            if pattern.startswith((vendor, "pci:v*")) and fnmatch.fnmatchcase(modalias, pattern)
        }
        return self._matches.setdefault(modalias, tuple(sorted(found)))

    def _listed(self, name: str) -> list[str]:
        """Lines of a file in the kernel's folder of modules, if there is one."""
        return self._lines(f"{self._folder}/{name}") if self._folder else []

    def _lines(self, path: str) -> list[str]:
        return (self._root.text(path) or "").splitlines()


def _name(path: str) -> str:
    """``kernel/drivers/vfio/pci/vfio-pci.ko.xz`` as the kernel names it: vfio_pci."""
    return path.rpartition("/")[2].partition(".ko")[0].replace("-", "_")
