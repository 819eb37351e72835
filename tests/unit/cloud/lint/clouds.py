# SPDX-License-Identifier: Apache-2.0
"""Clouds that match the fleet file, as the cloud view reads them, and changes of them."""

import dataclasses

from nova_gpu_passthrough.cloud.apply.plan import Plan
from nova_gpu_passthrough.cloud.lint.facts import CloudFacts
from nova_gpu_passthrough.cloud.view.model import (
    CloudDevice,
    CloudFlavor,
    CloudHost,
    CloudView,
    DeviceState,
    Resource,
    Server,
)
from nova_gpu_passthrough.files import cpu_list
from nova_gpu_passthrough.fleet.offers import DeviceKind
from nova_gpu_passthrough.nova_rules import resource_names

NOVA_TRAITS = frozenset(("COMPUTE_MANAGED_PCI_DEVICE", "OWNER_NOVA"))


def clean_cloud(site):
    """Return a cloud with all hosts up, all devices free and all flavors created."""
    facts = site.facts()
    hosts = tuple(_host(facts, offer) for offer in site.resolved.offers)
    flavors = tuple(
        CloudFlavor(f"id-{f.name}", f.name, f.vcpus, f.ram_mib, f.disk_gib, True, f.extra_specs)
        for f in site.desired.flavors
    )
    limits = {"servers": 10, **{limit.resource: limit.value for limit in site.desired.limits}}
    limits |= {f"class:{alias.resource_class}": 0 for alias in facts.aliases.values()}
    return CloudFacts(
        CloudView("2026-01-01T00:00:00Z", hosts, flavors),
        Plan(site.desired),
        frozenset((*site.desired.traits, "HW_CPU_X86_AVX2")),
        limits,
    )


def with_host(cloud, name, change):
    """Return the cloud with one host changed by a function."""
    hosts = tuple(change(host) if host.name == name else host for host in cloud.view.hosts)
    return dataclasses.replace(cloud, view=dataclasses.replace(cloud.view, hosts=hosts))


def with_device(cloud, name, address, **changes):
    """Return the cloud with one device changed."""

    def change(host):
        devices = tuple(
            dataclasses.replace(device, **changes) if device.address == address else device
            for device in host.devices
        )
        return dataclasses.replace(host, devices=devices)

    return with_host(cloud, name, change)


def with_flavor(cloud, name, vcpus=4, ram_mib=8192, **extra_specs):
    """Return the cloud with one more flavor; ``__`` in extra spec names is a colon."""
    specs = {key.replace("__", ":"): value for key, value in extra_specs.items()}
    flavor = CloudFlavor(f"id-{name}", name, vcpus, ram_mib, 40, True, specs)
    view = dataclasses.replace(cloud.view, flavors=(*cloud.view.flavors, flavor))
    return dataclasses.replace(cloud, view=view)


def server(number, **changes):
    """Return a server without GPUs."""
    values = {"project_id": "project", "vcpus": 4, "ram_mib": 65536, **changes}
    return Server(f"server-{number}", f"s{number}", "ACTIVE", host="host", flavor="m1", **values)


def _host(facts, offer):
    options = facts.compute_options[offer.host]
    reserved = options[("DEFAULT", "reserved_host_memory_mb")].values[0]
    resources = {
        "MEMORY_MB": Resource(offer.inventory.memory_gib * 1024, int(reserved)),
        "DISK_GB": Resource(1000),
    }
    for name, option in (("PCPU", "cpu_dedicated_set"), ("VCPU", "cpu_shared_set")):
        if option_value := options.get(("compute", option)):
            resources[name] = Resource(len(cpu_list.parse(option_value.values[0])))
    groups = {facts.resolved.groups[offer.host].name: {}}
    return CloudHost(
        offer.host,
        f"uuid-{offer.host}",
        True,
        True,
        group=facts.resolved.groups[offer.host].name,
        aggregates=groups,
        resources=resources,
        devices=tuple(_devices(facts, offer)),
    )


def _devices(facts, offer):
    by_address = {}
    for one in offer.devices:
        by_address.setdefault(one.device.physical_function or one.address, []).append(one)
    for address, functions in by_address.items():
        first = functions[0]
        entry = facts.device_spec_entries[offer.host][first.address]
        otu = {"HW_PCI_ONE_TIME_USE"} if "one_time_use" in entry else set()
        yield CloudDevice(
            offer.host,
            address,
            facts.alias_of(first).resource_class,
            first.model if first.kind is DeviceKind.GPU else None,
            DeviceState.FREE,
            provider=f"uuid-{offer.host}-{address}",
            traits=resource_names.normalize_traits(entry.get("traits")) | NOVA_TRAITS | otu,
            resource=Resource(len(functions), max_unit=len(functions)),
        )
