# SPDX-License-Identifier: Apache-2.0
"""Which family a host's distribution is of, and which tool makes its initramfs."""

from nova_gpu_passthrough.fleet.settings import Distribution
from nova_gpu_passthrough.inventory.host import Machine

_FAMILIES = {
    "debian": Distribution.DEBIAN,
    "ubuntu": Distribution.DEBIAN,
    "rhel": Distribution.REDHAT,
    "fedora": Distribution.REDHAT,
    "centos": Distribution.REDHAT,
    "rocky": Distribution.REDHAT,
    "almalinux": Distribution.REDHAT,
    "suse": Distribution.SUSE,
    "sles": Distribution.SUSE,
    "opensuse": Distribution.SUSE,
}
#: Ubuntu's own since 25.10.
_UBUNTU_DRACUT = (25, 10)


def family(machine: Machine) -> Distribution | None:
    """By ``ID`` and ``ID_LIKE`` of os-release; None if neither is known."""
    for word in (machine.os_id or "", *machine.os_like):
        found = _FAMILIES.get(word) or _FAMILIES.get(word.partition("-")[0])
        if found:
            return found
    return None


def uses_dracut(machine: Machine, distribution: Distribution) -> bool:
    """Whether dracut makes the initramfs, and not initramfs-tools."""
    if distribution is not Distribution.DEBIAN:
        return True
    numbers = [int(part) for part in (machine.os_version or "").split(".") if part.isdecimal()]
    return machine.os_id == "ubuntu" and tuple(numbers) >= _UBUNTU_DRACUT
