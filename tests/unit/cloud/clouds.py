# SPDX-License-Identifier: Apache-2.0
"""Fleets, and clouds in which nova-compute runs on their hosts with the generated options."""

from nova_gpu_passthrough.fleet import aliases, cpu_sets, device_spec, memory
from nova_gpu_passthrough.fleet.model import FleetFile, HostGroup
from nova_gpu_passthrough.fleet.offers import choose
from nova_gpu_passthrough.fleet.resolve import ResolvedFleet
from nova_gpu_passthrough.fleet.settings import Settings

GROUP = HostGroup("gpus", ("*.yaml",))


def fleet(*inventories, settings=None, group=GROUP, domains=None):
    """Return a fleet of these hosts, all in one group.

    :param domains: names of failure domains by level, by host
    """
    settings = settings or Settings()
    offers, _ = choose(inventories, settings)
    known, _ = aliases.make(offers, settings.numa_policy)
    return ResolvedFleet(
        FleetFile("test", (group,)),
        settings,
        offers,
        known,
        {inventory.host: group for inventory in inventories},
        {inventory.host: inventory for inventory in inventories},
        domains or {},
    )


def run_computes(cloud, resolved, **changes):
    """Start nova-compute on all hosts of a fleet; return providers' UUIDs by host and address.

    The address of the host's own provider is ``""``.

    :param changes: arguments of Placement.add_host that replace the generated ones
    """
    providers = {}
    for offer in resolved.offers:
        sets = cpu_sets.propose(offer, resolved.settings.host_cores)
        plan = memory.plan(offer, resolved.settings.reserved_host_memory_mb, False)
        inventory = {
            "cpus": len(sets.shared),
            "pcpus": len(sets.dedicated),
            "memory": plan.total_mib,
            "reserved": plan.reserved_mib,
        }
        root = cloud.placement.add_host(offer.host, **(inventory | changes))
        cloud.nova.add_compute(offer.host, root)
        providers[offer.host, ""] = root
        for entry in device_spec.make(offer, resolved.aliases, resolved.settings):
            address = entry["address"]
            providers[offer.host, address] = cloud.placement.add_device(
                root,
                f"{offer.host}_{address.upper()}",
                entry["resource_class"],
                entry["traits"].split(","),
            )
    return providers


def boot(cloud, providers, host, addresses, flavor, name="server", cells=(), **changes):
    """Create a server with devices on a host, in Nova and Placement; return it."""
    server = cloud.nova.add_server(name, host, flavor, cells=cells, **changes)
    owner = server["tenant_id"]
    allocate(cloud, providers, host, addresses, server["id"], flavor, project=owner)
    return server


def allocate(
    cloud, providers, host, addresses, consumer, flavor=None, kind="INSTANCE", project="p1"
):
    """Allocate devices of a host to a consumer, and CPUs and memory for a flavor."""
    allocations = {}
    if flavor:
        policy = flavor["extra_specs"].get("hw:cpu_policy")
        cpus = "PCPU" if policy == "dedicated" else "VCPU"
        allocations[providers[host, ""]] = {cpus: flavor["vcpus"], "MEMORY_MB": flavor["ram"]}
    for address in addresses:
        provider = providers[host, address]
        inventories = cloud.placement.call("GET", f"/resource_providers/{provider}/inventories")
        allocations[provider] = dict.fromkeys(inventories["inventories"], 1)
    cloud.placement.allocate(consumer, allocations, project, kind)
