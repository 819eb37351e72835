# SPDX-License-Identifier: Apache-2.0
"""Reading hwloc's XML export."""

import os
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nova_gpu_passthrough.errors import UserError
from nova_gpu_passthrough.host import hwloc, hwloc_xml
from nova_gpu_passthrough.host.links import link_groups
from nova_gpu_passthrough.inventory.pci import DeviceType, Role

AT = "2026-01-01T00:00:00Z"
HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n<!DOCTYPE topology SYSTEM "hwloc2.dtd">\n'
#: Two packages (the second one with two NUMA nodes), a GPU with its audio function and a NIC behind
#: a switch, a GPU on a bridge of the second package, NVLink through a switch.
TWO = (
    HEAD
    + """\
<topology version="2.0">
 <object type="Machine" os_index="0" cpuset="0x000000ff" nodeset="0x00000007" gp_index="1">
  <info name="DMIProductName" value="Server 9"/>
  <info name="DMISysVendor" value="Maker"/>
  <info name="HostName" value="gpu-1"/>
  <info name="OSName" value="Linux"/>
  <info name="OSRelease" value="6.1.0"/>
  <object type="Package" os_index="0" cpuset="0x0000000f" nodeset="0x00000001" gp_index="2">
   <info name="CPUVendor" value="AuthenticAMD"/>
   <info name="CPUModel" value="EPYC 9"/>
   <object type="NUMANode" os_index="0" cpuset="0x0000000f" nodeset="0x00000001"
    local_memory="1073741824" gp_index="3"><page_type size="4096" count="262144"/></object>
   <object type="Core" os_index="0" cpuset="0x00000005" nodeset="0x00000001" gp_index="4">
    <object type="PU" os_index="0" cpuset="0x00000001"/>
    <object type="PU" os_index="2" cpuset="0x00000004"/>
   </object>
   <object type="Core" os_index="1" cpuset="0x0000000a" nodeset="0x00000001" gp_index="5">
    <object type="PU" os_index="1" cpuset="0x00000002"/>
    <object type="PU" os_index="3" cpuset="0x00000008"/>
   </object>
   <object type="Bridge" bridge_type="0-1" depth="0" bridge_pci="0000:[10-1f]" gp_index="6">
    <object type="Bridge" bridge_type="1-1" depth="1" bridge_pci="0000:[11-14]" gp_index="7"
     pci_busid="0000:10:01.0" pci_type="0604 [8086:352a] [0000:0000] 04" pci_link_speed="63.0">
     <object type="PCIDev" gp_index="8" pci_busid="0000:12:00.0"
      pci_type="0300 [10de:2204] [10de:1467] a1" pci_link_speed="15.753846">
      <info name="PCIDevice" value="GA102 [GeForce RTX 3090]"/>
      <object type="OSDev" gp_index="9" name="nvml0" osdev_type="1"/>
     </object>
     <object type="PCIDev" gp_index="10" pci_busid="0000:12:00.1"
      pci_type="0403 [10de:1aef] [10de:1467] a1" pci_link_speed="15.753846"/>
     <object type="PCIDev" gp_index="11" pci_busid="0000:13:00.0"
      pci_type="0207 [15b3:1021] [15b3:0001] 00 00" pci_link_speed="0.0">
      <object type="OSDev" gp_index="12" name="ib0" osdev_type="2"/>
     </object>
    </object>
   </object>
  </object>
  <object type="Package" os_index="1" cpuset="0x000000f0" nodeset="0x00000006" gp_index="13">
   <object type="Group" cpuset="0x00000030" nodeset="0x00000002" gp_index="14">
    <object type="NUMANode" os_index="1" cpuset="0x00000030" nodeset="0x00000002" gp_index="15"
     local_memory="2147483648"/>
    <object type="Bridge" bridge_type="0-1" depth="0" bridge_pci="0001:[20-2f]" gp_index="16">
     <object type="PCIDev" gp_index="17" pci_busid="0001:21:00.0"
      pci_type="0302 [10de:2204] [10de:1467] a1" pci_link_speed="15.753846">
      <object type="OSDev" gp_index="18" name="nvml1" osdev_type="1"/>
     </object>
    </object>
   </object>
   <object type="NUMANode" os_index="2" cpuset="0x000000c0" nodeset="0x00000004" gp_index="19"/>
   <object type="PU" os_index="4" cpuset="0x00000010"/>
   <object type="PU" os_index="5" cpuset="0x00000020"/>
   <object type="PU" os_index="6" cpuset="0x00000040"/>
   <object type="PU" os_index="7" cpuset="0x00000080"/>
   <object type="Bridge" bridge_type="0-1" depth="0" bridge_pci="0002:[30-3f]" gp_index="20">
    <object type="PCIDev" gp_index="21" pci_busid="0002:30:00.0"
     pci_type="0680 [10de:22a3] [0000:0000] a1" pci_link_speed="1.0"/>
   </object>
  </object>
 </object>
 <distances2 type="NUMANode" nbobjs="3" kind="5" name="NUMALatency" indexing="os">
  <indexes length="6">2 0 1 </indexes>
  <u64values length="12">10 32 </u64values>
  <u64values length="24">12 31 10 20 13 21 10 </u64values>
 </distances2>
 <distances2hetero nbobjs="3" kind="25" name="NVLinkBandwidth">
  <indexes length="26">OSDev:9 PCIDev:21 OSDev:18 </indexes>
  <u64values length="30">0 50000 0 50000 0 50000 0 50000 0 </u64values>
 </distances2hetero>
 <support name="discovery.pu"/>
</topology>
"""
)
#: hwloc 1: NUMA nodes contain their processors, "Socket", latencies relative to a base.
ONE = """\
<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE topology SYSTEM "hwloc.dtd">
<topology>
 <object type="Machine" os_index="0" cpuset="0xf...f" nodeset="0x00000001" online_cpuset="0x3">
  <info name="HostName" value="old"/>
  <distances nbobjs="1" relative_depth="1" latency_base="10.0"><latency value="1.0"/></distances>
  <object type="NUMANode" os_index="0" cpuset="0xf...f" nodeset="0x00000001" local_memory="1048576">
   <object type="Socket" os_index="0" cpuset="0x00000003" nodeset="0x00000001">
    <object type="Core" os_index="0" cpuset="0x00000003">
     <object type="PU" os_index="0" cpuset="0x00000001"/>
     <object type="PU" os_index="1" cpuset="0x00000002"/>
    </object>
   </object>
   <object type="Bridge" bridge_type="0-1" depth="0" bridge_pci="0000:[00-02]">
    <object type="PCIDev" pci_busid="0000:02:00.0" pci_type="0302 [10de:1db5] [10de:1212] a1"
     pci_link_speed="0.000000"/>
   </object>
  </object>
 </object>
</topology>
"""


def read(text, **more):
    data = text if isinstance(text, bytes) else text.encode()
    topology = hwloc_xml.parse(data, "rack/saved.xml")
    return hwloc.parse(topology, AT, more.get("host"), more.get("model_names"))


def test_the_machine():
    inventory = read(TWO)
    assert (inventory.host, inventory.source, inventory.audited_at) == ("gpu-1", "hwloc", AT)
    assert (inventory.machine.vendor, inventory.machine.product) == ("Maker", "Server 9")
    assert (inventory.cpu.vendor, inventory.cpu.model) == ("amd", "EPYC 9")
    assert inventory.kernel.release == "6.1.0"


def test_the_host_is_named_by_option_or_export_or_file():
    assert read(TWO, host="mine").host == "mine"
    assert read(TWO.replace("HostName", "Other")).host == "saved"


def test_numa_nodes():
    first, second, third = read(TWO).numa_nodes
    assert (first.id, first.socket, first.cpus, first.memory_mib) == (0, 0, "0-3", 1024)
    assert first.cores == ("0,2", "1,3")
    assert (second.id, second.socket, second.cpus, second.memory_mib) == (1, 1, "4-5", 2048)
    assert (third.id, third.socket, third.cpus, third.memory_mib) == (2, 1, "6-7", 0)
    # The matrix lists node 2 first.
    assert (first.distances, third.distances) == ((10, 20, 31), (32, 12, 10))
    assert second.distances == (21, 10, 13)


def test_pci_functions():
    inventory = read(TWO)
    assert [device.address for device in inventory.devices] == [
        "0000:10:01.0",
        "0000:12:00.0",
        "0000:12:00.1",
        "0000:13:00.0",
        "0001:21:00.0",
        "0002:30:00.0",
    ]
    gpu = inventory.by_address["0000:12:00.0"]
    assert (gpu.class_code, gpu.ids, gpu.role) == ("030000", "10de:2204", Role.GPU)
    assert (gpu.subsystem_vendor_id, gpu.subsystem_product_id) == ("10de", "1467")
    assert gpu.name == "GA102 [GeForce RTX 3090]"
    assert gpu.numa_node == 0
    assert gpu.bridges == ("0000:10:01.0",)
    roles = [device.role for device in inventory.devices]
    assert roles == [Role.BRIDGE, Role.GPU, Role.AUDIO, Role.NIC, Role.GPU, Role.NVSWITCH]


def test_the_numa_node_is_that_of_the_closest_object_with_a_single_node():
    by_address = read(TWO).by_address
    assert by_address["0001:21:00.0"].numa_node == 1
    assert by_address["0002:30:00.0"].numa_node is None


def test_facts_missing_in_hwloc_are_none():
    inventory = read(TWO)
    for device in inventory.devices:
        assert device.iommu_group is None
        assert device.driver is None
        assert device.reset_methods is None
        assert device.link is None
        assert device.device_type is DeviceType.PCI
    assert all(node.huge_pages == () for node in inventory.numa_nodes)
    assert {finding.id for finding in inventory.findings} == {"read.hwloc"}


def test_gpus_with_companions_switch_and_models():
    first, second = read(TWO, model_names={"10de:2204": "mine"}).gpus
    assert (first.model, first.model_source) == ("mine", "operator")
    assert first.companions == ("0000:12:00.1",)
    assert first.switch == "0000:10:01.0"
    assert second.switch is None


def test_gpus_joined_through_a_switch_are_peers():
    first, second = read(TWO).gpus
    assert (first.peers, second.peers) == ((second.address,), (first.address,))


def test_peers_are_not_found_through_other_gpus():
    chain = TWO.replace("OSDev:9 PCIDev:21 OSDev:18", "OSDev:9 OSDev:18 PCIDev:11")
    first, second = read(chain).gpus
    assert (first.peers, second.peers) == ((second.address,), (first.address,))


def test_version_1_is_read():
    inventory = read(ONE)
    (node,) = inventory.numa_nodes
    assert (node.id, node.socket, node.cpus, node.cores) == (0, 0, "0-1", ("0,1",))
    assert node.memory_mib == 1
    (gpu,) = inventory.devices
    assert (gpu.address, gpu.numa_node, gpu.class_code) == ("0000:02:00.0", 0, "030200")


@pytest.mark.parametrize(
    "text, bits",
    [
        ("0x0", set()),
        ("", set()),
        ("0x00000005", {0, 2}),
        ("0x1,0x00000002", {1, 32}),
        ("0x1,,0x0", {64}),
        ("0xf...f", {0, 1, 40}),
        ("0xf...f,0x00000002", {1, 40}),
    ],
)
def test_bitmaps(text, bits):
    element = hwloc_xml.HwlocObject("PU", {"cpuset": text}, 1, "saved.xml")
    assert element.bits("cpuset", {0, 1, 40}) == bits


@pytest.mark.parametrize(
    "old, new, message",
    [
        ("</topology>", "", "no element found"),
        ('os_index="2" cpuset="0x000000c0"', 'os_index="x" cpuset="0x0"', "os_index of NUMANode"),
        ('os_index="1" cpuset="0x00000030"', 'cpuset="0x0"', "os_index of NUMANode is missing"),
        ("0x00000005", "0xzz", "cpuset of .* is '0xzz', expected a bitmap"),
        ("0001:21:00.0", "21:00", "pci_busid of PCIDev is '21:00', expected a PCI address"),
        ("0302 [10de", "[10de", "pci_type of PCIDev is "),
        ('local_memory="2147483648"', 'local_memory="-1"', "local_memory of NUMANode is '-1'"),
        ("10 32 ", "10 ", "the matrix of line .* has 3 indexes and 8 values, expected 3 and 9"),
        ("10 32 ", "10 -3 ", "u64values are not whole numbers"),
        ("2 0 1 ", "2 0 x ", "indexes of the matrix of line .* are not numbers"),
        ('nbobjs="3" kind="5"', 'nbobjs="99999" kind="5"', "nbobjs of a matrix is 99999"),
        ('kind="5"', 'kind="five"', "kind or nbobjs of a matrix is not a whole number"),
        ('type="Machine"', 'type="Misc"', "contains no Machine"),
        ("<topology ", '<html version="1"/><topology ', "the document is a 'html'"),
        ("UTF-8", "no-such", "unknown encoding"),
    ],
)
def test_an_invalid_topology_is_rejected_with_its_line(old, new, message):
    with pytest.raises(UserError, match=rf"^rack/saved.xml:\d+: .*{message}"):
        read(TWO.replace(old, new, 1))


def test_entity_declarations_are_rejected():
    bomb = '<!DOCTYPE topology [<!ENTITY a "b"><!ENTITY c "&a;&a;">]><topology>&c;</topology>'
    with pytest.raises(UserError, match="saved.xml:1: declares an entity"):
        read(bomb)
    file = '<!DOCTYPE topology [<!ENTITY a SYSTEM "/etc/hostname">]><topology>&a;</topology>'
    with pytest.raises(UserError, match="declares an entity"):
        read(file)


def test_deep_nesting_is_rejected():
    with pytest.raises(UserError, match="more than 256 levels"):
        read('<topology><object type="Machine">' + '<object type="Group">' * 1000)


def test_a_file_is_read(tmp_path):
    file = tmp_path / "host.xml"
    file.write_text(TWO)
    assert hwloc.read(file, AT).host == "gpu-1"
    with pytest.raises(UserError, match="gone.xml: No such file"):
        hwloc.read(tmp_path / "gone.xml", AT)
    with file.open("wb") as huge:
        huge.truncate(hwloc_xml.MAX_BYTES + 1)
    with pytest.raises(UserError, match="more than 16 MiB"):
        hwloc.read(file, AT)


@given(st.binary(max_size=60), st.integers(0, len(TWO)), st.integers(0, 40))
def test_any_damage_is_rejected_or_read(junk, start, length):
    data = TWO.encode()
    try:
        read(data[:start] + junk + data[start + length :])
    except UserError as error:
        assert re.match(r"rack/saved.xml:\d+: ", str(error))


@given(
    st.sampled_from(sorted(set(re.findall(r'"([^"]+)"', TWO)))),
    st.text(st.characters(codec="utf-8", exclude_characters='<>&"', min_codepoint=32), max_size=12),
)
def test_any_value_of_an_attribute_is_rejected_or_read(old, new):
    try:
        read(TWO.replace(f'"{old}"', f'"{new}"', 1))
    except UserError as error:
        assert re.match(r"rack/saved.xml:\d+: ", str(error))


def recorded(name):
    folder = os.environ.get("NOVA_GPU_RECORDED")
    if not folder:
        pytest.skip("NOVA_GPU_RECORDED names no directory with hwloc's recorded topologies")
    file = Path(folder) / name
    if not file.is_file():
        pytest.skip(f"{file} is not there")
    return hwloc.read(file, AT)


def test_a_recorded_dgx_2():
    inventory = recorded("nvidiaDGX2.xml")
    assert len(inventory.gpus) == 16
    assert sum(device.role is Role.NVSWITCH for device in inventory.devices) == 11
    assert {inventory.device(gpu).numa_node for gpu in inventory.gpus} == {0, 1}
    assert [node.distances for node in inventory.numa_nodes] == [(10, 21), (21, 10)]
    # NVML reports links of GPUs, not those between the switches of the two boards.
    assert {len(gpu.peers) for gpu in inventory.gpus} == {7}
    links = link_groups.find(inventory.devices, inventory.gpus)
    assert set(links.paths.values()) == {("nvs0",)}
    assert len(links.paths) == 16
    assert "fabric.switch_missing" in {finding.id for finding in links.findings}


def test_a_recorded_server_with_three_gpus():
    inventory = recorded("24em64t-2n6c2t-pci.xml")
    by_address = inventory.by_address
    assert inventory.host == "mirage004"
    gpus = [device for device in inventory.devices if device.ids == "10de:06d2"]
    assert [(gpu.address, gpu.numa_node) for gpu in gpus] == [
        ("0000:06:00.0", 0),
        ("0000:11:00.0", 1),
        ("0000:14:00.0", 1),
    ]
    assert by_address["0000:06:00.0"].bridges == ("0000:00:07.0",)
    assert inventory.numa_nodes[1].cores[0] == "1,13"
