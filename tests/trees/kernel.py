# SPDX-License-Identifier: Apache-2.0
"""Write the files of the kernel about itself and its modules, and those of the distribution."""

from tests.trees.model import Machine
from tests.trees.tree import Tree

#: IOMMU options in /boot/config-*, as distributions set them
_BUILT = {
    "intel": "CONFIG_INTEL_IOMMU=y",
    "amd": "CONFIG_AMD_IOMMU=y",
    "arm": "CONFIG_ARM_SMMU_V3=y",
}

_VFIO = {
    "vfio_pci": {
        "disable_idle_d3": "N",
        "disable_vga": "N",
        "enable_sriov": "N",
        "nointxmask": "N",
    },
    "vfio_iommu_type1": {
        "allow_unsafe_interrupts": "N",
        "disable_hugepages": "N",
        "dma_entry_limit": "65535",
    },
}

#: aliases in modules.alias of the modules for GPUs, companions and other devices
ALIASES = {
    "nvidia": (
        "pci:v000010DEd*sv*sd*bc03sc00i00*",
        "pci:v000010DEd*sv*sd*bc03sc02i00*",
        "pci:v000010DEd*sv*sd*bc06sc80i00*",
    ),
    "nouveau": ("pci:v000010DEd*sv*sd*bc03sc*i*", "pci:v000012D2d*sv*sd*bc03sc*i*"),
    "nvidiafb": ("pci:v000010DEd*sv*sd*bc03sc00i*",),
    "snd_hda_intel": ("pci:v000010DEd*sv*sd*bc04sc03i00*", "pci:v00001002d*sv*sd*bc04sc03i00*"),
    "xhci_pci": ("pci:v*d*sv*sd*bc0Csc03i30*",),
    "amdgpu": (
        "pci:v00001002d*sv*sd*bc03sc00i00*",
        "pci:v00001002d*sv*sd*bc03sc80i00*",
        "pci:v00001002d*sv*sd*bc12sc00i00*",
    ),
    "mlx5_core": ("pci:v000015B3d00001021sv*sd*bc*sc*i*", "pci:v000015B3d0000101Dsv*sd*bc*sc*i*"),
    "nvme": ("pci:v*d*sv*sd*bc01sc08i02*",),
    "ast": ("pci:v00001A03d00002000sv*sd*bc03sc*i*",),
    "vfio_pci": ("vfio_pci:v*d*sv*sd*bc*sc*i*",),
}


def write_kernel(machine: Machine, tree: Tree) -> None:
    """Write command line, version, interrupts, lockdown, modules and the distribution's files."""
    _kernel(machine, tree)
    _modules(machine, tree)
    _distribution(machine, tree)


def _kernel(machine: Machine, tree: Tree) -> None:
    image = f"BOOT_IMAGE=/boot/vmlinuz-{machine.kernel} root=/dev/md0 ro"
    tree.files("proc", {"cmdline": f"{image} {machine.command_line}".rstrip()}, 0o444)
    tree.files("proc/sys/kernel", {"osrelease": machine.kernel}, 0o444)
    version = f"Linux version {machine.kernel} (synthetic) #1 SMP PREEMPT_DYNAMIC"
    tree.files("proc", {"version": version}, 0o444)
    # irq_remapping.c names its chips "IR-...", which all users may read.
    prefix = "IR-" if machine.iommu and machine.interrupt_remapping else ""
    rows = [
        "            CPU0",
        f"   4:          0 {prefix}IO-APIC    4-edge      ttyS0",
        *(
            f" {40 + number:>3}:          1 {prefix}PCI-MSI-{device.address}    0-edge      "
            f"{device.driver}"
            for number, device in enumerate(
                device for device in machine.devices().values() if device.driver
            )
        ),
        " NMI:          0   Non-maskable interrupts",
    ]
    if machine.processor.vendor != "arm":
        tree.file("proc/interrupts", "".join(f"{row}\n" for row in rows), 0o444)
    if machine.lockdown:
        levels = ("none", "integrity", "confidentiality")
        chosen = (f"[{level}]" if level == machine.lockdown else level for level in levels)
        tree.files("sys/kernel/security", {"lockdown": " ".join(chosen)})


def _modules(machine: Machine, tree: Tree) -> None:
    tree.file(
        "proc/modules",
        "".join(f"{name} 16384 0 - Live 0x0000000000000000\n" for name in machine.modules),
        0o444,
    )
    for name in machine.modules:
        tree.files(f"sys/module/{name}", {"initstate": "live", "refcnt": "0"}, 0o444)
        for parameter, value in _VFIO.get(name, {}).items():
            tree.files(f"sys/module/{name}/parameters", {parameter: value}, 0o444)
    base = f"lib/modules/{machine.kernel}"
    tree.file(
        f"{base}/modules.alias",
        "# Aliases extracted from modules themselves.\n"
        + "".join(
            f"alias {alias} {name}\n"
            for name in machine.installed_modules
            for alias in ALIASES.get(name, ())
        ),
    )
    tree.file(f"{base}/modules.builtin", "kernel/drivers/pci/pcie/pcieportdrv.ko\n")
    tree.file(
        f"boot/config-{machine.kernel}",
        f"{_BUILT[machine.processor.vendor]}\n"
        "CONFIG_IOMMU_SUPPORT=y\nCONFIG_VFIO=m\nCONFIG_VFIO_IOMMU_TYPE1=m\nCONFIG_VFIO_PCI=m\n"
        "CONFIG_PCI_IOV=y\nCONFIG_NUMA=y\nCONFIG_SECURITY_LOCKDOWN_LSM=y\n",
    )


def _distribution(machine: Machine, tree: Tree) -> None:
    system = machine.os
    lines = [
        f'PRETTY_NAME="{system.pretty_name}"',
        f'VERSION_ID="{system.version_id}"',
        f"ID={system.id}",
    ]
    if system.id_like:
        lines.append(f'ID_LIKE="{system.id_like}"')
    tree.file("etc/os-release", "".join(f"{line}\n" for line in lines))
    vendors: dict[str, list[str]] = {}
    for identity, name in machine.names:
        vendor, _, device = identity.partition(":")
        line = f"\t{device}  {name}\n" if device else f"{vendor}  {name}\n"
        vendors.setdefault(vendor, []).append(line)
    tree.file(
        "usr/share/misc/pci.ids",
        "#\n#\tList of PCI ID's (extract)\n#\n"
        + "".join("".join(sorted(lines, key=lambda line: line[0] == "\t")) for lines in
                  (vendors[vendor] for vendor in sorted(vendors))),
    )  # fmt: skip
