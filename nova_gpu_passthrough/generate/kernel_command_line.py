# SPDX-License-Identifier: Apache-2.0
"""The kernel command line of a host (Documentation/admin-guide/kernel-parameters.txt)."""

from nova_gpu_passthrough.fleet.memory import MemoryPlan
from nova_gpu_passthrough.fleet.offers import HostOffer
from nova_gpu_passthrough.generate.binding import Binding
from nova_gpu_passthrough.generate.service_options import comment
from nova_gpu_passthrough.inventory.host import IommuKind
from nova_gpu_passthrough.inventory.model import Inventory

#: Debian's and Ubuntu's grub-mkconfig reads it after /etc/default/grub.
GRUB_PATH = "etc/default/grub.d/90-gpu-passthrough.cfg"
#: Debian's kernels enable Intel's IOMMU only on request; those of AMD and Arm are on.
_IOMMU = {
    IommuKind.INTEL: ("intel_iommu=on", "iommu=pt"),
    IommuKind.AMD: ("iommu=pt",),
    IommuKind.SMMU: ("iommu.passthrough=1",),
}
#: For an unknown IOMMU, since an option for another vendor's IOMMU has no effect.
_UNKNOWN = _IOMMU[IommuKind.INTEL]
_BY_TABLE = {"DMAR": IommuKind.INTEL, "IVRS": IommuKind.AMD, "IORT": IommuKind.SMMU}
_BY_CPU = {"intel": IommuKind.INTEL, "amd": IommuKind.AMD, "arm": IommuKind.SMMU}


def options(offer: HostOffer, binding: Binding, plan: MemoryPlan | None) -> tuple[str, ...]:
    """Return the options that the host's kernel needs."""
    words = _IOMMU.get(_iommu_kind(offer.inventory), _UNKNOWN)
    if binding.builtin_vfio and binding.ids:
        words += (f"vfio-pci.ids={binding.ids_text}",)
    return words + (plan.kernel_options if plan else ())


def grub(words: tuple[str, ...]) -> str:
    """Render the file for grub-mkconfig, which appends the options."""
    return (
        comment("Appended to the kernel command line of all entries by update-grub.")
        + f'GRUB_CMDLINE_LINUX="$GRUB_CMDLINE_LINUX {" ".join(words)}"\n'
    )


def _iommu_kind(inventory: Inventory) -> IommuKind:
    """Return the kind of the IOMMU by the firmware's table, which exists even if it is off."""
    iommu = inventory.iommu
    return (
        _BY_TABLE.get(iommu.firmware_table or "")
        or iommu.kind
        or _BY_CPU.get(inventory.cpu.vendor or "", IommuKind.OTHER)
    )
