# SPDX-License-Identifier: Apache-2.0
"""Read the state of kernel modules, and find the modules that would bind a device at boot."""

import fnmatch

from nova_gpu_passthrough.host.root import Root
from nova_gpu_passthrough.inventory.host import ModuleState

#: Modules that passthrough needs.
VFIO = ("vfio_pci", "vfio_iommu_type1")
#: Modules that passthrough needs, and drivers that could bind a GPU or a companion earlier.
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


class KernelModules:
    """The modules of the running kernel.

    :param release: the kernel's release, which names its folder in /lib/modules
    """

    def __init__(self, root: Root, release: str | None) -> None:
        self._root = root
        folder = f"/lib/modules/{release}" if release else None
        self._folder = folder if folder and root.exists(folder) else None
        self._aliases: list[tuple[str, str]] | None = None
        #: Matches by modalias, which all GPUs of one model share.
        self._matches: dict[str, tuple[str, ...]] = {}

    def states(self) -> dict[str, ModuleState]:
        """Return the states of the watched modules; modules of unknown state are left out."""
        loaded = {line.split(" ", 1)[0] for line in self._lines("/proc/modules")}
        builtin = {_name(line) for line in self._listed("modules.builtin")}
        dependencies = self._listed("modules.dep")
        available = {_name(line.partition(":")[0]) for line in dependencies}
        states = {}
        for name in WATCHED:
            if name in loaded:
                states[name] = ModuleState.LOADED
            elif name in builtin:
                states[name] = ModuleState.BUILTIN
            elif name in available:
                states[name] = ModuleState.AVAILABLE
            elif dependencies:
                states[name] = ModuleState.MISSING
            elif self._root.exists(f"/sys/module/{name}"):
                # Without /proc/modules, loaded and built-in modules look the same.
                states[name] = ModuleState.LOADED
        return states

    def matching(self, modalias: str) -> tuple[str, ...]:
        """Return the modules whose alias matches a device's modalias, as udev would load them."""
        if self._aliases is None:
            self._aliases = []
            for line in self._listed("modules.alias"):
                words = line.split()
                if len(words) == 3 and words[1].startswith("pci:"):
                    self._aliases.append((words[1], words[2].replace("-", "_")))
        if modalias in self._matches:
            return self._matches[modalias]
        # Most aliases name the vendor: skip other vendors before the costly comparison.
        vendor = modalias[: len("pci:v00000000")]
        names = {
            module
            for pattern, module in self._aliases
            if pattern.startswith((vendor, "pci:v*")) and fnmatch.fnmatchcase(modalias, pattern)
        }
        return self._matches.setdefault(modalias, tuple(sorted(names)))

    def _listed(self, name: str) -> list[str]:
        """Return the lines of a file in the kernel's module folder; none if it does not exist."""
        return self._lines(f"{self._folder}/{name}") if self._folder else []

    def _lines(self, path: str) -> list[str]:
        return (self._root.text(path) or "").splitlines()


def _name(path: str) -> str:
    """Return the module name of a path: ``kernel/drivers/vfio/pci/vfio-pci.ko.xz`` is vfio_pci."""
    return path.rpartition("/")[2].partition(".ko")[0].replace("-", "_")
