# SPDX-License-Identifier: Apache-2.0
"""The files steps.txt: how to apply the files, for each compute host and the control plane."""

from collections.abc import Iterable

from nova_gpu_passthrough.fleet.settings import DeploymentTarget
from nova_gpu_passthrough.generate.binding import Binding
from nova_gpu_passthrough.generate.service_options import comment
from nova_gpu_passthrough.inventory.host import Distribution

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
    """Render the steps on a compute host.

    :param words: options for the kernel command line
    :param directories: the top directories of the files
    """
    line = " ".join(words)
    steps = [
        _step(
            "Migrate the servers with GPUs, since the host has to reboot. Then check its state:",
            "nova-gpu host audit",
        ),
        _step(
            "In this directory, copy the files to /. Scripts must stay executable:",
            *(f"cp -r --preserve=mode {directory} /" for directory in directories),
        ),
        _step(
            "Find and remove older settings of vfio-pci, since it reads only one list of ids:",
            "grep -r vfio /etc/modprobe.d /etc/default/grub /etc/default/grub.d /proc/cmdline",
        ),
        _command_line(distribution, line),
        _initramfs(distribution, dracut),
        _step("Reboot:", "systemctl reboot"),
    ]
    if binding.devices:
        steps.append(
            _step(
                'Check that each of these shows "Kernel driver in use: vfio-pci":',
                *(f"lspci -nnk -s {device.address}" for device in binding.devices),
                "nova-gpu host audit",
            )
        )
    steps.append(
        _step(
            "When Placement has its options, restart nova-compute. API, conductor and scheduler "
            "get theirs when all compute nodes report their GPUs: see the steps of the control "
            "plane.",
        )
    )
    return _text("How to apply these files, as root.", steps)


def control(target: DeploymentTarget, resource_classes: Iterable[str]) -> str:
    """Render the steps of the control plane.

    They are in the order of Nova's documentation (PCI tracking in Placement,
    doc/source/admin/pci-passthrough.rst): compute nodes report devices before the scheduler queries
    them.
    """
    steps = [
        _step(
            "Install nova-gpu-passthrough where nova-scheduler and nova-api run (in their virtual "
            "environment, container image or system)."
        ),
        *_CONTROL[target],
        _step(
            "Check that the GPUs are resource providers:",
            *(f"openstack resource provider list --resource {n}=1" for n in resource_classes),
        ),
        _step("Create flavors and images with the extra specs and properties in guests.yaml."),
    ]
    return _text("How to apply these files.", steps)


_CONTROL = {
    DeploymentTarget.PLAIN: (
        _step("Copy etc/placement to the Placement servers, and restart Placement."),
        _step(
            "Apply the files of all compute hosts (see their steps.txt), so that they report their "
            "GPUs."
        ),
        _step(
            "Copy etc/nova to the servers of nova-api, nova-conductor and nova-scheduler, and "
            "restart these services."
        ),
    ),
    DeploymentTarget.KOLLA: (
        _step(
            "Copy etc/kolla/config to node_custom_config on the deployment host, and apply the "
            "files of all compute hosts (see their steps.txt)."
        ),
        _step("Then:", "kolla-ansible reconfigure -i INVENTORY --tags placement,nova"),
    ),
    DeploymentTarget.DEVSTACK: (
        _step(
            "Append local.conf of each directory to local.conf on its machine, and apply the other "
            "files of the compute hosts (see their steps.txt)."
        ),
        _step("Then:", "./stack.sh"),
    ),
}


def _command_line(distribution: Distribution | None, line: str) -> str:
    what = f"Kernel command line: {line}"
    if distribution is Distribution.DEBIAN:
        return _step(
            f"{what} (without GRUB, add it to the configuration of your boot loader instead):",
            "update-grub",
        )
    if distribution is Distribution.REDHAT:
        return _step(f"{what}:", f'grubby --update-kernel=ALL --args="{line}"')
    if distribution is Distribution.SUSE:
        return _step(
            f"{what}: add it to GRUB_CMDLINE_LINUX_DEFAULT in /etc/default/grub, then:",
            "grub2-mkconfig -o /boot/grub2/grub.cfg",
        )
    return _step(f"{what}: add it with the tool of your distribution.")


def _initramfs(distribution: Distribution | None, dracut: bool) -> str:
    if distribution is None:
        return _step(
            "Include vfio-pci and modprobe.d in the initramfs with the tool of your distribution, "
            "and rebuild it."
        )
    return _step(
        "Rebuild the initramfs:",
        "dracut --force --regenerate-all" if dracut else "update-initramfs -u -k all",
    )
