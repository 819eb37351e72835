# SPDX-License-Identifier: Apache-2.0
"""modprobe.d and modules-load.d (modprobe.d(5), modules-load.d(5))."""

from nova_gpu_passthrough.generate.binding import Binding
from nova_gpu_passthrough.generate.options import comment

PATH = "etc/modprobe.d/gpu-passthrough.conf"
LOAD_PATH = "etc/modules-load.d/gpu-passthrough.conf"


def options(binding: Binding) -> str:
    """Ids, order of loading and blacklist."""
    parts = []
    if binding.ids:
        lines = [f"{ids}: {', '.join(where)}" for ids, where in binding.ids.items()]
        if binding.builtin_vfio:
            parts.append(
                comment(
                    "vfio-pci is part of this kernel: its ids are on the kernel command line.\n\n"
                    + "\n\n".join(lines)
                )
            )
        else:
            parts.append(
                comment(
                    "All functions of this host with these ids are passed through.\n\n"
                    + "\n\n".join(lines)
                ).replace("\n#\n", "\n")
                + f"options vfio-pci ids={binding.ids_text}\n"
            )
    if binding.overrides:
        lines = [f"{address}: {why}" for address, why in binding.overrides.items()]
        parts.append(
            comment(
                "Bound by address, by driver_override in the initramfs.\n\n" + "\n\n".join(lines)
            ).replace("\n#\n", "\n")
        )
    if binding.softdeps:
        parts.append(
            comment("vfio-pci is loaded before what else could take them.")
            + "".join(f"softdep {module} pre: vfio-pci\n" for module in binding.softdeps)
        )
    if binding.blacklist:
        parts.append(
            comment("Nothing on this host is left for these; udev does not load them.")
            + "".join(f"blacklist {module}\n" for module in binding.blacklist)
        )
    return "\n".join(parts)


def load() -> str:
    """Loads vfio-pci even where no driver pulls it in."""
    return "vfio-pci\n"
