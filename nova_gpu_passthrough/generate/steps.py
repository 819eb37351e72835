# SPDX-License-Identifier: Apache-2.0
"""What to do with the files, in order: on a compute host, and for the control plane."""

from collections.abc import Iterable

from nova_gpu_passthrough.fleet.settings import Distribution, Target
from nova_gpu_passthrough.generate.binding import Binding
from nova_gpu_passthrough.generate.options import comment

PATH = "etc/gpu-passthrough/steps.txt"


def _step(text: str, *commands: str) -> str:
    return text + "\n" + "".join(f"       {command}\n" for command in commands)


def _text(heading: str, steps: Iterable[str]) -> str:
    numbered = [f"{number}. {step}" for number, step in enumerate(steps, start=1)]
    return "\n".join([comment(heading), *numbered])


def host(
    distribution: Distribution | None,
    dracut: bool,
    words: tuple[str, ...],
    binding: Binding,
    directories: Iterable[str],
) -> str:
    """Steps on a compute host.

    :param words: options for the kernel command line
    :param directories: the first parts of the files' paths
    """
    line = " ".join(words)
    steps = [
        _step(
            "Move servers with GPUs away: the host has to reboot. Then look at its state:",
            "nova-gpu host audit",
        ),
        _step(
            "In this directory, copy the files to /. Scripts must stay executable:",
            *(f"cp -r --preserve=mode {directory} /" for directory in directories),
        ),
        _step(
            "Look for older settings of vfio-pci and take them away, since only one list of ids "
            "counts:",
            "grep -r vfio /etc/modprobe.d /etc/default/grub /etc/default/grub.d /proc/cmdline",
        ),
        _command_line(distribution, line),
        _initramfs(distribution, dracut),
        _step("Reboot:", "systemctl reboot"),
    ]
    if binding.devices:
        steps.append(
            _step(
                'Each of these shows "Kernel driver in use: vfio-pci":',
                *(f"lspci -nnk -s {device.address}" for device in binding.devices),
                "nova-gpu host audit",
            )
        )
    steps.append(
        _step(
            "Once Placement has its options, restart nova-compute. API, conductor and scheduler "
            "get theirs when all compute nodes report their GPUs: see the control plane's steps.",
        )
    )
    return _text("How to bring these files into use, as root.", steps)


def control(target: Target, resource_classes: Iterable[str]) -> str:
    """Steps of the control plane.

    The order is that of Nova's documentation (PCI tracking in Placement,
    doc/source/admin/pci-passthrough.rst): compute nodes report before the scheduler asks.
    """
    steps = [
        _step(
            "Install nova-gpu-passthrough where nova-scheduler and nova-api run (in their virtual "
            "environment, container image or system)."
        ),
        *_CONTROL[target],
        _step(
            "Look whether the GPUs are resource providers:",
            *(f"openstack resource provider list --resource {n}=1" for n in resource_classes),
        ),
        _step("Make flavors and images: guests.yaml tells what they need."),
    ]
    return _text("How to bring these files into use.", steps)


_CONTROL = {
    Target.PLAIN: (
        _step("Copy etc/placement to the Placement servers, and restart Placement."),
        _step(
            "Bring the files of all compute hosts into use (steps.txt of each), so that they "
            "report their GPUs."
        ),
        _step(
            "Copy etc/nova to the servers of nova-api, nova-conductor and nova-scheduler, and "
            "restart these."
        ),
    ),
    Target.KOLLA: (
        _step(
            "Copy etc/kolla/config to node_custom_config on the deployment host, and bring the "
            "files of all compute hosts into use (steps.txt of each)."
        ),
        _step("Then:", "kolla-ansible reconfigure -i INVENTORY --tags placement,nova"),
    ),
    Target.DEVSTACK: (
        _step(
            "Append local.conf of each directory to local.conf on its machine, and bring the other "
            "files of the compute hosts into use (steps.txt of each)."
        ),
        _step("Then:", "./stack.sh"),
    ),
}


def _command_line(distribution: Distribution | None, line: str) -> str:
    what = f"Kernel command line: {line}"
    if distribution is Distribution.DEBIAN:
        return _step(
            f"{what} (without GRUB, put it into your boot loader's own file instead):",
            "update-grub",
        )
    if distribution is Distribution.REDHAT:
        return _step(f"{what}:", f'grubby --update-kernel=ALL --args="{line}"')
    if distribution is Distribution.SUSE:
        return _step(
            f"{what}: add it to GRUB_CMDLINE_LINUX_DEFAULT in /etc/default/grub, then:",
            "grub2-mkconfig -o /boot/grub2/grub.cfg",
        )
    return _step(f"{what}: add it with your distribution's tool.")


def _initramfs(distribution: Distribution | None, dracut: bool) -> str:
    if distribution is None:
        return _step(
            "Have your distribution's tool put vfio-pci and modprobe.d into the initramfs, and "
            "make it anew."
        )
    return _step(
        "Rebuild the initramfs:",
        "dracut --force --regenerate-all" if dracut else "update-initramfs -u -k all",
    )
