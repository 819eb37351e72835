# SPDX-License-Identifier: Apache-2.0
"""Options of the kernel (Documentation/admin-guide/kernel-parameters.txt)."""

from nova_gpu_passthrough.fleet.memory import MemoryPlan
from nova_gpu_passthrough.fleet.offers import Offer
from nova_gpu_passthrough.generate.binding import Binding
from nova_gpu_passthrough.generate.options import comment
from nova_gpu_passthrough.inventory.host import IommuKind
from nova_gpu_passthrough.inventory.model import Inventory

#: Debian's and Ubuntu's grub-mkconfig reads it after /etc/default/grub.
GRUB_PATH = "etc/default/grub.d/90-gpu-passthrough.cfg"


#: Intel's is off unless asked for in Debian's kernels; those of AMD and Arm are on.
_IOMMU = {
    IommuKind.INTEL: ("intel_iommu=on", "iommu=pt"),
    IommuKind.AMD: ("iommu=pt",),
    IommuKind.SMMU: ("iommu.passthrough=1",),
}
#: An option for another make does nothing.
_UNKNOWN = _IOMMU[IommuKind.INTEL]
_BY_TABLE = {"DMAR": IommuKind.INTEL, "IVRS": IommuKind.AMD, "IORT": IommuKind.SMMU}
_BY_CPU = {"intel": IommuKind.INTEL, "amd": IommuKind.AMD, "arm": IommuKind.SMMU}


def options(offer: Offer, binding: Binding, plan: MemoryPlan | None) -> tuple[str, ...]:
    """What the host's kernel needs."""
    words = _IOMMU.get(_kind(offer.inventory), _UNKNOWN)
    if binding.builtin_vfio and binding.ids:
        words += (f"vfio-pci.ids={binding.ids_text}",)
    return words + (plan.kernel_options if plan else ())


def grub(words: tuple[str, ...]) -> str:
    """The file for grub-mkconfig: it adds to what is there."""
    return (
        comment("Added to the kernel command line of all entries; update-grub makes it so.")
        + f'GRUB_CMDLINE_LINUX="$GRUB_CMDLINE_LINUX {" ".join(words)}"\n'
    )


def _kind(inventory: Inventory) -> IommuKind:
    """Whose IOMMU it is: by the firmware's table, which is there even while it is off."""
    iommu = inventory.iommu
    return (
        _BY_TABLE.get(iommu.firmware_table or "")
        or iommu.kind
        or _BY_CPU.get(inventory.cpu.vendor or "", IommuKind.OTHER)
    )
