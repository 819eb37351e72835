# SPDX-License-Identifier: Apache-2.0
"""Check the VFIO modules, secure boot and lockdown of the kernel."""

from collections.abc import Iterator

from nova_gpu_passthrough.host import fix_commands
from nova_gpu_passthrough.host.kernel_modules import VFIO
from nova_gpu_passthrough.inventory.findings import HOST, Finding, Remedy, Severity
from nova_gpu_passthrough.inventory.host import Distribution, ModuleState
from nova_gpu_passthrough.inventory.model import Inventory
from nova_gpu_passthrough.inventory.shell_fix import as_root

#: The packages with all modules of the kernel.
_FULL_KERNELS = {
    Distribution.DEBIAN: "apt-get install linux-image-amd64",
    Distribution.REDHAT: "dnf install kernel kernel-modules",
    Distribution.SUSE: "zypper install kernel-default",
}
_UBUNTU_KERNEL = "apt-get install linux-generic"


def check(inventory: Inventory) -> Iterator[Finding]:
    """Check VFIO, secure boot and lockdown."""
    kernel = inventory.kernel
    if kernel.command_line is not None:
        yield Finding(
            "kernel.command_line", Severity.OK, HOST, kernel.command_line, "/proc/cmdline"
        )
    for module in VFIO if kernel.modules is not None else ():
        state = kernel.modules.get(module) if kernel.modules else None
        if state is None:
            continue
        source = f"/lib/modules/{kernel.release}"
        if state is ModuleState.MISSING:
            yield Finding(
                "vfio.missing",
                Severity.FAILURE,
                HOST,
                f"kernel {kernel.release} has no module {module}",
                source,
                "QEMU accesses passed-through devices through VFIO.",
                _full_kernel(inventory),
                Remedy.CONFIGURATION,
            )
        else:
            yield Finding("vfio.present", Severity.OK, HOST, f"{module} is {state}", source)
    if kernel.lockdown == "confidentiality":
        yield Finding(
            "kernel.lockdown",
            Severity.WARNING,
            HOST,
            "lockdown is in mode confidentiality",
            "/sys/kernel/security/lockdown",
            "Tracers (perf, kprobes, BPF), which help to debug a device, do not work; VFIO itself "
            "works.",
            fix_commands.add_kernel_options(inventory, "lockdown=integrity"),
        )
    elif kernel.lockdown is not None or kernel.secure_boot is not None:
        signed = kernel.secure_boot or kernel.lockdown == "integrity"
        boot = {True: "on", False: "off", None: "unknown"}[kernel.secure_boot]
        yield Finding(
            "kernel.secure_boot",
            Severity.OK,
            HOST,
            f"secure boot {boot}, lockdown {kernel.lockdown or 'unknown'}: no obstacle for VFIO"
            + ("; drivers from outside the distribution must be signed" if signed else ""),
            "/sys/firmware/efi/efivars, /sys/kernel/security/lockdown",
        )


def _full_kernel(inventory: Inventory) -> str:
    machine = inventory.machine
    if machine.distribution is None or not inventory.cpu.is_x86:
        return "Install the distribution's full kernel instead of a cloud kernel, and boot it."
    ubuntu = machine.os_id == "ubuntu"
    install = _UBUNTU_KERNEL if ubuntu else _FULL_KERNELS[machine.distribution]
    return as_root(inventory.host, install, then="Then boot this kernel instead of a cloud kernel.")
