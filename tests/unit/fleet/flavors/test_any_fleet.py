# SPDX-License-Identifier: Apache-2.0
"""Properties of the flavors of any hosts."""

from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from nova import objects
from nova.api.validation.extra_specs import validators
from nova.objects.flavor import Flavor
from nova.objects.image_meta import ImageMeta, ImageMetaProps
from nova.virt import hardware

from nova_gpu_passthrough.fleet import cpu_sets, flavors, memory
from nova_gpu_passthrough.fleet.flavors import empty_host
from nova_gpu_passthrough.fleet.references import requested_devices
from nova_gpu_passthrough.fleet.settings import Settings
from nova_gpu_passthrough.inventory.host import Cpu
from tests.unit.generate import builders
from tests.unit.generate.fleets import resolved

objects.register_all()
any_settings = st.builds(
    Settings,
    numa_policy=st.sampled_from(["legacy", "preferred", "required", "socket"]),
    host_cores=st.none() | st.integers(0, 12),
    reserved_host_memory_mb=st.none() | st.integers(0, 400_000),
    hugepages=st.booleans(),
)


@st.composite
def regular_hosts(draw):
    """A host whose GPUs are on known NUMA nodes that have CPUs."""
    nodes = builders.nodes(
        draw(st.integers(1, 4)),
        draw(st.integers(3, 40)),
        draw(st.integers(16 * 1024, 2_000_000)),
        draw(st.sampled_from([1, 2, 4])),
    )
    counts = draw(st.lists(st.integers(0, 5), min_size=len(nodes), max_size=len(nodes)).filter(any))
    gpus = [node.id for node, count in zip(nodes, counts, strict=True) for _ in range(count)]
    devices = [
        builders.device(f"0000:{0x20 + n:02x}:00.0", numa_node=node) for n, node in enumerate(gpus)
    ]
    return builders.inventory(
        "host0",
        devices,
        [builders.gpu(device.address) for device in devices],
        numa_nodes=nodes,
        cpu=Cpu("intel", None, 46),
    )


def capacity(found, node):
    """Return GPUs, CPUs for pinning and memory for servers of a NUMA node, as generated."""
    (offer,) = found.offers
    settings = found.settings
    sets = cpu_sets.propose(offer, settings.host_cores)
    plan = memory.plan(offer, settings.reserved_host_memory_mb, settings.hugepages)
    mib = plan.total_by_node[node] - plan.reserved_by_node[node]
    if plan.huge_pages:
        mib = plan.huge_pages[node] * 1024
    return (
        sum(gpu.device.numa_node == node for gpu in offer.gpus),
        len(sets.dedicated_by_node.get(node, ())),
        mib,
    )


@hypothesis_settings(max_examples=50)
@given(regular_hosts(), any_settings)
def test_every_gpu_of_a_node_finds_cpus_and_memory(host, settings):
    """On each NUMA node, as many servers fit as it has GPUs for."""
    found = resolved(host, settings=settings)
    plan = flavors.make(found)
    for flavor in plan.flavors:
        if flavor.extra_specs["hw:numa_nodes"] != "1":
            continue
        servers = 0
        for node in host.numa_nodes:
            gpus, cpus, mib = capacity(found, node.id)
            count = gpus // flavor.gpus
            assert count * flavor.vcpus <= cpus
            assert count * flavor.ram_mib <= mib
            servers += count
        (one,) = plan.stranded[flavor.name]
        if flavor.extra_specs["hw:pci_numa_affinity_policy"] in ("required", "socket"):
            assert one.servers == {flavor.name: servers}
        else:
            # A GPU of another node is allowed, too.
            assert one.servers[flavor.name] >= servers


@hypothesis_settings(max_examples=50)
@given(regular_hosts(), any_settings)
def test_a_mix_of_flavors_finds_cpus_and_memory(host, settings):
    """A NUMA node fits any two servers for one node whose GPUs it has."""
    found = resolved(host, settings=settings)
    single = [
        flavor
        for flavor in flavors.make(found).flavors
        if flavor.extra_specs["hw:numa_nodes"] == "1"
    ]
    for node in host.numa_nodes:
        gpus, cpus, mib = capacity(found, node.id)
        for first in single:
            for second in single:
                if first.gpus + second.gpus <= gpus:
                    assert first.vcpus + second.vcpus <= cpus
                    assert first.ram_mib + second.ram_mib <= mib


@hypothesis_settings(max_examples=50)
@given(regular_hosts())
def test_a_host_with_equal_nodes_fills_up(host):
    by_node = {node.id: 0 for node in host.numa_nodes}
    for device in host.devices:
        by_node[device.numa_node] += 1
    plan = flavors.make(resolved(host))
    if len(set(by_node.values())) > 1:
        return
    for flavor in plan.flavors:
        (one,) = plan.stranded[flavor.name]
        sharing = int(flavor.extra_specs["hw:numa_nodes"])
        per_set = by_node[0] * sharing
        sets = len(by_node) // sharing
        assert one.left.gpus == len(host.gpus) - per_set // flavor.gpus * sets * flavor.gpus


@hypothesis_settings(max_examples=50)
@given(builders.inventories(), any_settings)
def test_nova_accepts_the_flavors_of_any_hosts(inventories, settings):
    found = resolved(*inventories, settings=settings)
    plan = flavors.make(found)
    names = [flavor.name for flavor in plan.flavors] + [one.name for one in plan.refused]
    assert len(names) == len(set(names))
    hosts = {offer.host: offer for offer in found.offers}
    for flavor in plan.flavors:
        for key, value in flavor.extra_specs.items():
            validators.validate(key, value)
        topology = hardware.numa_get_constraints(
            Flavor(vcpus=flavor.vcpus, memory_mb=flavor.ram_mib, extra_specs=flavor.extra_specs),
            ImageMeta(properties=ImageMetaProps()),
        )
        assert len(topology.cells) == int(flavor.extra_specs["hw:numa_nodes"])
        (alias, *_) = requested_devices(flavor.extra_specs)
        assert plan.hosts[flavor.name]
        for host in plan.hosts[flavor.name]:
            sets = cpu_sets.propose(hosts[host], found.settings.host_cores)
            assert flavor.vcpus <= len(sets.dedicated)
            assert flavor.ram_mib <= hosts[host].inventory.memory_gib * 1024
        for one in plan.stranded[flavor.name]:
            (servers,) = one.servers.values()
            assert servers >= 1
            assert one.left.vcpus == one.total.vcpus - servers * flavor.vcpus
            assert one.left.gpus == one.total.gpus - servers * flavor.gpus
            assert one.left.ram_mib >= 0
            # There are reasons if and only if resources are left.
            assert bool(one.left) == bool(one.reasons)
        demand = empty_host.server_demand(flavor, found.aliases)
        assert demand.request.count == flavor.gpus
        assert dict(demand.query.resources) == {"PCPU": flavor.vcpus, "MEMORY_MB": flavor.ram_mib}
    if len({flavor.model for flavor in plan.flavors}) == 1:
        for one in plan.best:
            # The mix leaves no more GPUs than any single flavor.
            for alone in (left for kinds in plan.stranded.values() for left in kinds):
                if set(one.hosts) <= set(alone.hosts):
                    assert one.left.gpus <= alone.left.gpus
    for one in plan.refused:
        assert one.reason
        assert "\n" not in one.reason
