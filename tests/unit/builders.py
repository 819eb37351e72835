# SPDX-License-Identifier: Apache-2.0
"""Build hosts, pools, requests and allocation candidates from Nova's objects."""

import itertools
import uuid

from nova import objects
from nova.pci.stats import PciDeviceStats
from nova.scheduler.host_manager import HostState

from nova_gpu_passthrough.topology.model import (
    FreeGpu,
    GpuRequest,
    HostGpus,
    NumaPolicy,
    PciRequest,
)

H100 = {"vendor_id": "10de", "product_id": "2330"}
L40S = {"vendor_id": "10de", "product_id": "26b9"}
T4 = {"vendor_id": "10de", "product_id": "1eb8"}
NIC = {"vendor_id": "15b3", "product_id": "101e"}
AUDIO = {"vendor_id": "10de", "product_id": "22ba"}

objects.register_all()
FLAVOR_ALIAS = objects.InstancePCIRequest.FLAVOR_ALIAS


# -- pure topology ---------------------------------------------------------------------------


def gpu(number, node=0, link="", switch=None, card=None, model="H100-SXM", provider=None):
    """Return a free GPU on bus ``number``; ``link`` is a path as in the tag."""
    path = tuple(link.split("/")) if link else ()
    return FreeGpu(address(number), model, node, path, switch, card, provider)


def address(number, function=0):
    return f"0000:{number:02x}:00.{function}"


def hgx(numbers=range(8), provider=None):
    """Return 8 GPUs with NVSwitch partitions 4+4 and 2+2+2+2, 4 per node, a switch per pair."""
    return [
        gpu(
            number,
            node=number // 4,
            link=f"board/half{number // 4}/pair{number // 2}",
            switch=f"switch{number // 2}",
            provider=provider and f"{provider}-{number}",
        )
        for number in numbers
    ]


def host_gpus(gpus, attached=None, cells=(), companion_cards=()):
    """Return a host whose GPUs serve the PCI request ``gpu``."""
    return HostGpus({"gpu": tuple(gpus)}, attached or {}, tuple(cells), frozenset(companion_cards))


def gpu_request(count=1, policy=NumaPolicy.LEGACY, **fields):
    """Return a request for ``count`` GPUs with the PCI request ``gpu``."""
    return GpuRequest((PciRequest("gpu", "a-gpu", count, policy),), **fields)


def numbers(gpus):
    """Return the bus numbers of devices."""
    return sorted(int(device.address[5:7], 16) for device in gpus)


# -- Nova's host states ----------------------------------------------------------------------


def provider_of(host, pci_address):
    return str(uuid.uuid5(uuid.NAMESPACE_DNS, f"{host}_{pci_address}"))


def pool(number, ids=H100, node=0, count=1, host=None, function=0, dev_type="type-PCI", **tags):
    """Return a pool like those of ``PciDeviceStats``; ``host`` adds a provider in Placement."""
    pci_address = address(number, function)
    fields = {
        **ids,
        "numa_node": node,
        "dev_type": dev_type,
        "count": count,
        "address": pci_address,
        **tags,
    }
    if host:
        fields["rp_uuid"] = provider_of(host, pci_address)
    return fields


def hgx_pools(host=None, numbers=range(8)):
    """Return the pools of the HGX board of `hgx`, with the tags of this package."""
    return [
        pool(
            n,
            node=n // 4,
            host=host,
            gpu_model="H100-SXM",
            gpu_link_group=f"board/half{n // 4}/pair{n // 2}",
            gpu_switch=f"switch{n // 2}",
        )
        for n in numbers
    ]


def cell(
    number,
    cpus=16,
    pcpus=0,
    pinned=0,
    cpus_used=0,
    memory=65536,
    memory_used=0,
    socket=None,
    mempages=(),
):
    """Return a host NUMA cell whose CPU ids start at 100 times its number."""
    first = 100 * number
    dedicated = set(range(first + 50, first + 50 + pcpus))
    return objects.NUMACell(
        id=number,
        cpuset=set(range(first, first + cpus)),
        pcpuset=dedicated,
        pinned_cpus=set(sorted(dedicated)[:pinned]),
        siblings=[{cpu} for cpu in sorted(dedicated)],
        memory=memory,
        memory_usage=memory_used,
        cpu_usage=cpus_used,
        mempages=list(mempages),
        network_metadata=objects.NetworkMetadata(physnets=set(), tunneled=False),
        socket=socket,
    )


def pages(size_kb, total, used=0):
    return objects.NUMAPagesTopology(size_kb=size_kb, total=total, used=used, reserved=0)


def aggregate(**metadata):
    """Return a host aggregate with metadata that have the prefix of this package."""
    prefixed = {f"gpu_passthrough:{key}": value for key, value in metadata.items()}
    return objects.Aggregate(name="an-aggregate", metadata=prefixed, hosts=[])


def host_state(
    name="host",
    pools=(),
    cells=(),
    aggregates=(),
    vcpus=64,
    vcpus_used=0,
    ram=262144,
    free_ram=None,
):
    """Return a HostState with ``pools``, which may be invalid."""
    state = HostState(name, name, uuid.uuid5(uuid.NAMESPACE_DNS, "cell"))
    state.uuid = str(uuid.uuid5(uuid.NAMESPACE_DNS, name))
    state.numa_topology = objects.NUMATopology(cells=list(cells)) if cells else None
    state.pci_stats = PciDeviceStats(state.numa_topology)
    state.pci_stats.pools = list(pools)
    state.aggregates = list(aggregates)
    state.vcpus_total, state.vcpus_used = vcpus, vcpus_used
    state.total_usable_ram_mb = ram
    state.free_ram_mb = ram if free_ram is None else free_ram
    state.free_disk_mb = 102400
    state.cpu_allocation_ratio = state.ram_allocation_ratio = state.disk_allocation_ratio = 1.0
    return state


# -- Nova's requests -------------------------------------------------------------------------


def pci_request(count=1, spec=H100, alias="a-gpu", numa_policy=None, requester_id=None):
    """Return the request of a PCI alias, or of a Neutron port if there is a ``requester_id``."""
    return objects.InstancePCIRequest(
        count=count,
        spec=[dict(spec)],
        alias_name=None if requester_id else alias,
        request_id=str(uuid.uuid5(uuid.NAMESPACE_DNS, f"{alias}-{requester_id}")),
        requester_id=requester_id,
        numa_policy=numa_policy,
        is_new=False,
    )


def request_spec(*pci_requests, extra_specs=None, vcpus=4, ram=4096, in_placement=False, numa=None):
    """Return a server's request; ``in_placement`` adds Nova's request groups for devices."""
    groups = [
        objects.RequestGroup(
            use_same_provider=True,
            requester_id=f"{request.request_id}-{index}",
            resources={"PGPU": 1},
        )
        for request in pci_requests
        for index in range(request.count)
        if request.source == FLAVOR_ALIAS
    ]
    return objects.RequestSpec(
        instance_uuid=str(uuid.uuid4()),
        flavor=objects.Flavor(
            vcpus=vcpus,
            memory_mb=ram,
            root_gb=1,
            ephemeral_gb=0,
            swap=0,
            extra_specs=extra_specs or {},
        ),
        image=objects.ImageMeta(properties=objects.ImageMetaProps()),
        pci_requests=objects.InstancePCIRequests(requests=list(pci_requests)),
        numa_topology=numa,
        requested_resources=groups if in_placement else [],
        num_instances=1,
        scheduler_hints={},
        instance_group=None,
        project_id="project",
        requested_destination=None,
    )


def guest_numa_topology(*cells):
    """Return an InstanceNUMATopology from (shared CPUs, pinned CPUs, memory in MiB) triples."""
    numa_cells = []
    for index, (shared, pinned, memory) in enumerate(cells):
        policy = "mixed" if shared and pinned else "dedicated" if pinned else None
        numa_cells.append(
            objects.InstanceNUMACell(
                id=index,
                cpuset=set(range(index * 100, index * 100 + shared)),
                pcpuset=set(range(index * 100 + 50, index * 100 + 50 + pinned)),
                memory=memory,
                pagesize=None,
                cpu_policy=policy,
                cpu_thread_policy=None,
            )
        )
    return objects.InstanceNUMATopology(cells=numa_cells)


# -- Placement's candidates ------------------------------------------------------------------


def candidate(groups, others=None, mappings=None):
    """Return a candidate with one GPU of each provider in ``groups`` (group name to provider)."""
    allocations = {k: {"resources": dict(v)} for k, v in (others or {}).items()}
    for provider in groups.values():
        resources = allocations.setdefault(provider, {"resources": {}})["resources"]
        resources["PGPU"] = resources.get("PGPU", 0) + 1
    return {
        "allocations": allocations,
        "mappings": {**(mappings or {}), **{group: [p] for group, p in groups.items()}},
    }


def candidates(state, request, most=1000, serving=None):
    """Return Placement's candidates of a host: permutations of free devices, with VCPU and RAM.

    :param serving: the pools that serve an alias, by its name; None: those with the alias's ids
    """
    choices = []
    for pci_request in request.pci_requests.requests:
        if pci_request.source != FLAVOR_ALIAS:
            continue
        if serving is not None:
            pools = serving[pci_request.alias_name]
        else:
            ids = pci_request.spec[0]
            pools = [p for p in state.pci_stats.pools if all(p[k] == ids[k] for k in ids if k in p)]
        units = [p["rp_uuid"] for p in pools for _ in range(p["count"])]
        names = [f"{pci_request.request_id}-{index}" for index in range(pci_request.count)]
        choices.append(
            [
                dict(zip(names, some, strict=True))
                for some in _permutations(units, pci_request.count, most)
            ]
        )
    others = {state.uuid: {"VCPU": request.vcpus, "MEMORY_MB": request.memory_mb}}
    return [
        candidate(
            {k: v for choice in combination for k, v in choice.items()}, others, {"": [state.uuid]}
        )
        for combination in itertools.islice(itertools.product(*choices), most)
    ]


def _permutations(units, count, most):
    return list(dict.fromkeys(itertools.islice(itertools.permutations(units, count), most)))
