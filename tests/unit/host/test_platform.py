# SPDX-License-Identifier: Apache-2.0
"""Reading processor, firmware, kernel and IOMMU from complete and missing files."""

import pytest

from nova_gpu_passthrough.host import platform
from nova_gpu_passthrough.host.kernel_modules import KernelModules
from nova_gpu_passthrough.host.root import Root
from nova_gpu_passthrough.inventory.host import Cpu, IommuKind

EFI = "sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"


@pytest.fixture
def host(tmp_path):
    (tmp_path / "sys").mkdir()
    return tmp_path


def _write(host, path, data):
    (host / path).parent.mkdir(parents=True, exist_ok=True)
    (host / path).write_bytes(data if isinstance(data, bytes) else data.encode())


def _kernel(host):
    root = Root(host)
    return platform.read_kernel(root, None, KernelModules(root, None))


@pytest.mark.parametrize(
    ("text", "cpu"),
    [
        (
            (
                "processor\t: 0\nvendor_id\t: GenuineIntel\nmodel name\t: Xeon 8480+\n"
                "address sizes\t: 52 bits physical, 57 bits virtual\n"
            ),
            Cpu("intel", "Xeon 8480+", 52),
        ),
        ("vendor_id\t: AuthenticAMD\nmodel name\t: EPYC\n", Cpu("amd", "EPYC", None)),
        ("vendor_id\t: HygonGenuine\n", Cpu("amd", None, None)),
        ("vendor_id\t: CentaurHauls\n", Cpu("CentaurHauls", None, None)),
        ("processor\t: 0\nCPU implementer\t: 0x41\n", Cpu("arm", None, None)),
        ("address sizes\t: 99999999999 bits physical\n", Cpu(None, None, None)),
        ("", Cpu()),
    ],
)
def test_processors(host, text, cpu):
    _write(host, "proc/cpuinfo", text)
    assert platform.read_cpu(Root(host)) == cpu


def test_only_the_first_processor_is_used(host):
    stanza = "vendor_id\t: GenuineIntel\naddress sizes\t: 46 bits physical, 48 bits virtual\n"
    _write(host, "proc/cpuinfo", (stanza + "flags\t: " + "x " * 500 + "\n\n") * 600)
    assert platform.read_cpu(Root(host)).physical_address_bits == 46


@pytest.mark.parametrize(
    ("files", "release"),
    [
        ({"proc/sys/kernel/osrelease": "6.8.0-60-generic\n"}, "6.8.0-60-generic"),
        ({"proc/version": "Linux version 5.14.0-503.el9.x86_64 (x@y)"}, "5.14.0-503.el9.x86_64"),
        ({"proc/version": "FreeBSD"}, None),
        ({}, None),
    ],
)
def test_the_kernels_release(host, files, release):
    for path, text in files.items():
        _write(host, path, text)
    assert platform.kernel_release(Root(host)) == release


@pytest.mark.parametrize("path", ["etc/os-release", "usr/lib/os-release"])
def test_the_distribution(host, path):
    _write(host, path, '# x\nID="rocky"\nID_LIKE=\'rhel centos fedora\'\nVERSION_ID="9.5"\n\nX\n')
    machine = platform.read_machine(Root(host))
    assert machine.os_id == "rocky"
    assert machine.os_like == ("rhel", "centos", "fedora")
    assert machine.os_version == "9.5"


def test_a_distribution_with_broken_quotes(host):
    _write(host, "etc/os-release", 'ID="debian\nVERSION_ID=\n')
    machine = platform.read_machine(Root(host))
    assert machine.os_id == '"debian'
    assert machine.os_version == ""


@pytest.mark.parametrize(
    ("text", "mode"),
    [
        ("[none] integrity confidentiality\n", "none"),
        ("none [integrity] confidentiality\n", "integrity"),
        ("none integrity [confidentiality]\n", "confidentiality"),
        ("none", None),
        ("", None),
    ],
)
def test_lockdown(host, text, mode):
    _write(host, "sys/kernel/security/lockdown", text)
    assert _kernel(host).lockdown == mode


@pytest.mark.parametrize(
    ("data", "state"),
    [(b"\x06\0\0\0\x01", True), (b"\x06\0\0\0\0", False), (b"\x06\0", None), (b"", None)],
)
def test_secure_boot(host, data, state):
    _write(host, EFI, data)
    assert _kernel(host).secure_boot is state


def test_without_efi_there_is_no_secure_boot(host):
    _write(host, "sys/firmware/acpi/tables/FACP", "")
    assert _kernel(host).secure_boot is False


def test_secure_boot_is_unknown_without_firmware_files(host):
    assert _kernel(host).secure_boot is None


@pytest.mark.parametrize(
    ("unit", "kind"),
    [
        ("dmar0", IommuKind.INTEL),
        ("ivhd0", IommuKind.AMD),
        ("smmu3.0x0000000040200000", IommuKind.SMMU),
        ("smmu.0x0000000040200000", IommuKind.SMMU),
        ("virtio-iommu0", IommuKind.OTHER),
        (None, IommuKind.OTHER),
    ],
)
def test_iommu_kinds(host, unit, kind):
    (host / "sys/kernel/iommu_groups/0").mkdir(parents=True)
    if unit:
        (host / "sys/class/iommu" / unit).mkdir(parents=True)
    iommu = platform.read_iommu(Root(host))
    assert (iommu.kind, iommu.groups) == (kind, 1)


def test_an_iommu_without_groups_is_inactive(host):
    (host / "sys/class/iommu/dmar0").mkdir(parents=True)
    _write(host, "sys/firmware/acpi/tables/DMAR", b"DMAR")
    iommu = platform.read_iommu(Root(host))
    assert (iommu.kind, iommu.groups, iommu.firmware_table) == (None, 0, "DMAR")


@pytest.mark.parametrize(
    ("line", "remapped"),
    [
        (" 24:  0  IR-PCI-MSI 458752-edge  PCIe PME", True),
        (" 24:  0  IR-PCI-MSIX-0000:18:00.0 0-edge  vfio", True),
        ("  2:  0  IR-IO-APIC    2-edge      timer", True),
        (" 24:  0  PCI-MSI 458752-edge  PCIe PME", False),
        (" 24:  0  PCI-MSIX-0000:18:00.0 0-edge  vfio", False),
        ("  2:  0  IO-APIC    2-edge      timer", False),
        # The IOMMU's own interrupt is never remapped.
        (" 24:  0  DMAR-MSI    0-edge      dmar0", None),
        (" 24:  0  ITS-MSI 524288 Edge      nvme", None),
        (" 24:  0  ITS-PCI-MSI-0000:01:00.0 0 Edge  nvme", True),
        ("", None),
    ],
)
def test_interrupt_remapping(host, line, remapped):
    _write(host, "proc/interrupts", f"            CPU0\n{line}\n NMI:  0  Non-maskable\n")
    assert platform.read_iommu(Root(host)).interrupt_remapping is remapped


def test_interrupts_are_remapped_if_some_chips_are(host):
    _write(host, "proc/interrupts", " 0: 0 DMAR-MSI 0-edge dmar0\n 2: 0 IR-IO-APIC 2-edge x\n")
    assert platform.read_iommu(Root(host)).interrupt_remapping is True


@pytest.mark.parametrize(("text", "unsafe"), [("Y\n", True), ("N\n", False), ("?", None)])
def test_unsafe_interrupts(host, text, unsafe):
    _write(host, "sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts", text)
    assert platform.read_iommu(Root(host)).unsafe_interrupts is unsafe


@pytest.mark.parametrize(
    ("registers", "bits"),
    [
        (["8d2078c106f0466"], 48),
        (["d2008c222f0686", "d2008c40660462"], 39),
        (["beyond"], None),
        ([], None),
    ],
)
def test_the_narrowest_iommu_is_reported(host, registers, bits):
    for number, register in enumerate(registers):
        _write(host, f"sys/class/iommu/dmar{number}/intel-iommu/cap", f"{register}\n")
    assert platform.read_iommu(Root(host)).address_bits == bits


@pytest.mark.parametrize("folder", ["sys/kernel/iommu_groups", "sys/firmware/acpi/tables"])
def test_a_recording_may_have_iommu_files(host, folder):
    assert not platform.read_iommu(Root(host)).known
    (host / folder).mkdir(parents=True)
    assert platform.read_iommu(Root(host)).known
