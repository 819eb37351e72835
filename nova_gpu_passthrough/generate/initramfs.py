# SPDX-License-Identifier: Apache-2.0
"""Files that load vfio-pci in the initramfs, and the script that binds functions by address there.

initramfs-tools(7): ``force_load`` in a hook; scripts in ``init-top`` run before modules are loaded.
dracut.conf(5): ``force_drivers``; dracut.modules(7): ``inst_hook pre-udev``. Both include
modprobe.d with its softdeps. The scripts check the ids of a function, so that they never bind
another device that has got its address.
"""

from nova_gpu_passthrough.generate.binding import MODPROBE_PATH, Binding
from nova_gpu_passthrough.generate.service_options import comment

HOOK_PATH = "etc/initramfs-tools/hooks/gpu-passthrough"
SCRIPT_PATH = "etc/initramfs-tools/scripts/init-top/gpu-passthrough"
DRACUT_PATH = "etc/dracut.conf.d/90-gpu-passthrough.conf"
_DRACUT_MODULE = "gpu-passthrough"
DRACUT_SETUP_PATH = f"usr/lib/dracut/modules.d/90{_DRACUT_MODULE}/module-setup.sh"
DRACUT_SCRIPT_PATH = f"usr/lib/dracut/modules.d/90{_DRACUT_MODULE}/bind.sh"
_SHEBANG = "#!/bin/sh\n"
_MODULES = ("vfio_pci", "vfio_iommu_type1")
_PREREQUISITES = """\
case "$1" in
prereqs)
\texit 0
\t;;
esac

"""
_WHY = (
    "Binds functions to vfio-pci by address, before udev loads other drivers.\n\n"
    "A function with other ids than in the inventory is not changed."
)
#: POSIX shell with builtins only, besides modprobe: other commands of busybox and klibc differ.
_BIND = """\
gpu_passthrough_claim() {
\tdevice="/sys/bus/pci/devices/$1"
\t[ -e "$device/driver_override" ] || return 0
\tread -r vendor < "$device/vendor"
\tread -r product < "$device/device"
\tif [ "$vendor:$product" != "0x$2:0x$3" ]; then
\t\techo "gpu-passthrough: $1 is $vendor:$product, not $2:$3: not changed" > /dev/kmsg
\t\treturn 0
\tfi
\techo vfio-pci > "$device/driver_override"
\tif [ -e "$device/driver" ] && ! [ -e "/sys/bus/pci/drivers/vfio-pci/$1" ]; then
\t\techo "$1" > "$device/driver/unbind"
\tfi
}

gpu_passthrough_probe() {
\tif [ -e "/sys/bus/pci/devices/$1" ] && ! [ -e "/sys/bus/pci/devices/$1/driver" ]; then
\t\techo "$1" > /sys/bus/pci/drivers_probe
\tfi
}

"""


def hook() -> str:
    """Render the hook of initramfs-tools that includes vfio-pci and loads it."""
    return (
        _SHEBANG
        + comment("Includes vfio-pci in the initramfs and loads it there.")
        + _PREREQUISITES
        + ". /usr/share/initramfs-tools/hook-functions\n\n"
        + "".join(f"force_load {module}\n" for module in _MODULES)
    )


def script(binding: Binding) -> str:
    """Render the script of initramfs-tools that binds by address."""
    return _SHEBANG + comment(_WHY) + _PREREQUISITES + _bind(binding)


def dracut_conf(binding: Binding) -> str:
    """Render the configuration of dracut that includes vfio-pci and loads it before udev."""
    text = comment("Load vfio-pci before udev loads other drivers.")
    text += f'force_drivers+=" {" ".join(_MODULES)} "\n'
    text += f'install_items+=" /{MODPROBE_PATH} "\n'
    if binding.overrides:
        text += f'add_dracutmodules+=" {_DRACUT_MODULE} "\n'
    return text


def dracut_setup() -> str:
    """Render the setup of the dracut module that contains the script; bash sources it."""
    return (
        comment("dracut includes this module only if dracut.conf.d names it.")
        + "check() {\n    return 255\n}\n\n"
        + "depends() {\n    return 0\n}\n\n"
        + 'install() {\n    inst_hook pre-udev 00 "$moddir/bind.sh"\n}\n'
    )


def dracut_script(binding: Binding) -> str:
    """Render the script of dracut that binds by address; a shell sources it."""
    return comment(_WHY) + _bind(binding)


def _bind(binding: Binding) -> str:
    devices = binding.override_devices
    claims = "".join(
        f"gpu_passthrough_claim {device.address} {device.vendor_id} {device.product_id}\n"
        for device in devices
    )
    probes = "".join(f"gpu_passthrough_probe {device.address}\n" for device in devices)
    return f"{_BIND}{claims}modprobe vfio-pci\n{probes}"
