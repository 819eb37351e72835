# SPDX-License-Identifier: Apache-2.0
"""Scripts that fix findings on the audited host, for findings of several checks."""

from nova_gpu_passthrough.inventory.host import Distribution
from nova_gpu_passthrough.inventory.model import Inventory
from nova_gpu_passthrough.inventory.shell_fix import (
    as_root,
    command,
    comment,
    generate_files,
    script,
)

#: Commands that apply a change of GRUB's configuration.
_UPDATE_GRUB = {
    Distribution.DEBIAN: "update-grub",
    Distribution.REDHAT: "grub2-mkconfig -o /boot/grub2/grub.cfg",
    Distribution.SUSE: "grub2-mkconfig -o /boot/grub2/grub.cfg",
}
_GRUB_FILES = ("/etc/default/grub", "/etc/default/grub.d")


def generate(inventory: Inventory, purpose: str, *options: str) -> str:
    """Return a script that generates the host's configuration and shows how to apply it.

    :param purpose: what the configuration does for the finding: a sentence
    :param options: further options of ``nova-gpu config generate``
    """
    return script(comment(purpose), generate_files(inventory.host, *options))


def audit_again(inventory: Inventory, *options: str) -> str:
    """Return a script that audits the host with other options.

    :param options: options of ``nova-gpu host audit``
    """
    return script(
        comment(f"On {inventory.host}, with the other options of this audit:"),
        command("nova-gpu", "host", "audit", *options),
    )


def remove_kernel_options(inventory: Inventory, *options: str, then: str = "") -> str:
    """Return how to remove options from the kernel command line.

    :param then: what to do afterwards, besides the reboot
    """
    names, distribution = " ".join(options), inventory.machine.distribution
    last = f"Then {then} and reboot." if then else "Then reboot."
    if distribution is None:
        return f"Remove {names} from the kernel command line. {last}"
    if distribution is Distribution.REDHAT:
        words = ("grubby", "--update-kernel=ALL", f"--remove-args={names}")
        return as_root(inventory.host, command(*words), then=last)
    return script(
        comment(f"As root on {inventory.host}, remove {names} from the files that this shows:"),
        *(command("grep", "-rne", option, *_GRUB_FILES) for option in options),
        _UPDATE_GRUB[distribution],
        comment(last),
    )


def add_kernel_options(inventory: Inventory, *options: str) -> str:
    """Return how to add options to the kernel command line."""
    names, distribution = " ".join(options), inventory.machine.distribution
    if distribution is None:
        return f"Add {names} to the kernel command line and reboot."
    if distribution is Distribution.REDHAT:
        words = ("grubby", "--update-kernel=ALL", f"--args={names}")
        return as_root(inventory.host, command(*words), then="Then reboot.")
    return script(
        comment(
            f"As root on {inventory.host}, add {names} to GRUB_CMDLINE_LINUX_DEFAULT in "
            f"{_GRUB_FILES[0]}, then:"
        ),
        _UPDATE_GRUB[distribution],
        comment("Then reboot."),
    )
