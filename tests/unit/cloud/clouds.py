# SPDX-License-Identifier: Apache-2.0
"""Fleets, and clouds in which nova-compute runs on their hosts as generated."""

from nova_gpu_passthrough.fleet import aliases, cpu_sets, device_spec, memory
from nova_gpu_passthrough.fleet.model import FleetFile, HostGroup
from nova_gpu_passthrough.fleet.offers import choose
from nova_gpu_passthrough.fleet.resolve import Resolved
from nova_gpu_passthrough.fleet.settings import Settings

GROUP = HostGroup("gpus", ("*.yaml",))


def fleet(*inventories, settings=None, group=GROUP):
    """The fleet of these hosts, all in one group."""
    settings = settings or Settings()
    offers, _ = choose(inventories, settings)
    known, _ = aliases.make(offers, settings.numa_policy)
    return Resolved(
        FleetFile("test", (group,)),
        settings,
        offers,
        known,
        {inventory.host: group for inventory in inventories},
        {inventory.host: inventory for inventory in inventories},
    )


def run_computes(cloud, resolved, **changes):
    """Start nova-compute on all hosts of a fleet; UUIDs of providers by host and address.

    Address ``""`` stands for the host itself.

    :param changes: what hosts have other than generated, as arguments of Placement.add_host
    """
    found = {}
    for offer in resolved.offers:
        sets = cpu_sets.propose(offer, resolved.settings.host_cores)
        plan = memory.plan(offer, resolved.settings.reserved_host_memory_mb, False)
        wanted = {
            "cpus": len(sets.shared),
            "pcpus": len(sets.dedicated),
            "memory": plan.total_mib,
            "reserved": plan.reserved_mib,
        }
        root = cloud.placement.add_host(offer.host, **(wanted | changes))
        cloud.nova.add_compute(offer.host, root)
        found[offer.host, ""] = root
        for entry in device_spec.make(offer, resolved.aliases, resolved.settings):
            address = entry["address"]
            found[offer.host, address] = cloud.placement.add_device(
                root,
                f"{offer.host}_{address.upper()}",
                entry["resource_class"],
                entry["traits"].split(","),
            )
    return found


def boot(cloud, providers, host, addresses, flavor, name="server", cells=(), **changes):
    """A server on a host that has devices, as Nova and Placement then tell."""
    server = cloud.nova.add_server(name, host, flavor, cells=cells, **changes)
    hold(cloud, providers, host, addresses, server["id"], flavor)
    return server


def hold(cloud, providers, host, addresses, consumer, flavor=None, kind="INSTANCE"):
    """Let a consumer hold devices of a host, and CPUs and memory for a flavor."""
    held = {}
    if flavor:
        policy = flavor["extra_specs"].get("hw:cpu_policy")
        cpus = "PCPU" if policy == "dedicated" else "VCPU"
        held[providers[host, ""]] = {cpus: flavor["vcpus"], "MEMORY_MB": flavor["ram"]}
    for address in addresses:
        provider = providers[host, address]
        inventories = cloud.placement.call("GET", f"/resource_providers/{provider}/inventories")
        held[provider] = dict.fromkeys(inventories["inventories"], 1)
    cloud.placement.allocate(consumer, held, kind=kind)
