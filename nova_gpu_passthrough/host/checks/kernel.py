# SPDX-License-Identifier: Apache-2.0
"""Check the VFIO modules, secure boot and lockdown of the kernel."""

from collections.abc import Iterator

from nova_gpu_passthrough.host.kernel_modules import VFIO
from nova_gpu_passthrough.inventory.findings import HOST, Finding, Remedy, Severity
from nova_gpu_passthrough.inventory.host import ModuleState
from nova_gpu_passthrough.inventory.model import Inventory


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
                "Install the distribution's full kernel (such as linux-image-amd64 instead of a "
                "cloud kernel, or the package with the extra modules).",
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
            "Use mode integrity (lockdown=integrity on the kernel command line).",
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
