# SPDX-License-Identifier: Apache-2.0
"""The table guests.yaml: the flavors and image properties for servers with GPUs."""

from collections.abc import Sequence
from typing import Any

from nova_gpu_passthrough.files import documents
from nova_gpu_passthrough.fleet.aliases import Alias, AliasMap
from nova_gpu_passthrough.fleet.desired_state import Flavor
from nova_gpu_passthrough.fleet.flavors import draft, host_layout
from nova_gpu_passthrough.fleet.flavors.draft import FlavorDraft
from nova_gpu_passthrough.fleet.flavors.host_layout import HostLayout
from nova_gpu_passthrough.fleet.flavors.specs import hides_hypervisor
from nova_gpu_passthrough.fleet.model import FlavorRule
from nova_gpu_passthrough.fleet.offers import DeviceKind, HostOffer
from nova_gpu_passthrough.fleet.references import requested_devices
from nova_gpu_passthrough.fleet.settings import Settings
from nova_gpu_passthrough.generate.service_options import comment

_SUBJECT = "Flavors and image properties for the GPUs of this cloud."
_HEADING = f"""\
{_SUBJECT} Nothing applies this file.

vcpus and ram_mib: the most with which all GPUs of a host can be used at the same time.

most_ram_mib, if it is less: with more memory, the address space of a guest does not hold the BARs
of its GPUs, so it boots without some of them. 0: the BARs do not fit with any memory.
"""
_FLEET_HEADING = f"""\
{_SUBJECT} nova-gpu apply creates these flavors of the fleet file; you create the images.
"""
_FOOTING = """\
An image may have hw_pci_numa_affinity_policy instead of the flavor's
hw:pci_numa_affinity_policy; if both are set, they must be equal.
"""


def table(
    offers: Sequence[HostOffer],
    aliases: AliasMap,
    settings: Settings,
    flavors: Sequence[Flavor] | None = None,
) -> str:
    """Return the text of the table.

    :param flavors: the flavors of a fleet file; None: drafts by the hosts
    """
    layouts = [host_layout.make(offer, aliases, settings) for offer in offers]
    gpus = []
    for alias in aliases.values():
        if alias.kind is DeviceKind.GPU:
            hosts = [host for host in layouts if host.gpus(alias)]
            table_flavors = (
                _drafts(alias, hosts, aliases, settings)
                if flavors is None
                else _fleet_flavors(alias, flavors)
            )
            gpus.append({**_gpu(alias, hosts), "flavors": table_flavors})
    nics = [
        {"alias": alias.name, "resource_class": alias.resource_class}
        for alias in aliases.values()
        if alias.kind is DeviceKind.NIC
    ]
    heading = (_HEADING if flavors is None else _FLEET_HEADING) + "\n" + _FOOTING
    document = {"gpus": gpus} | ({"nics": nics} if nics else {})
    return comment(heading.strip()) + "\n" + documents.dump(document)


def _gpu(alias: Alias, hosts: Sequence[HostLayout]) -> dict[str, Any]:
    properties: dict[str, Any] = {"hw_firmware_type": "uefi"}
    if hosts[0].offer.inventory.cpu.is_x86:
        properties = {"hw_machine_type": "q35", **properties}
    if hides_hypervisor(alias.model, hosts[0].gpus(alias)[0].device.name):
        properties["img_hide_hypervisor_id"] = "true"
    return {
        "alias": alias.name,
        "model": alias.model,
        "resource_class": alias.resource_class,
        "hosts": {host.host: len(host.gpus(alias)) for host in hosts},
        "image_properties": properties,
    }


def _fleet_flavors(alias: Alias, flavors: Sequence[Flavor]) -> list[dict[str, Any]]:
    return [
        {
            "name": flavor.name,
            "gpus": flavor.gpus,
            "vcpus": flavor.vcpus,
            "ram_mib": flavor.ram_mib,
            "extra_specs": dict(flavor.extra_specs),
        }
        for flavor in flavors
        if alias.name in requested_devices(flavor.extra_specs)
    ]


def _drafts(
    alias: Alias, hosts: Sequence[HostLayout], aliases: AliasMap, settings: Settings
) -> list[dict[str, Any]]:
    rule = FlavorRule(alias.model)
    return [
        _flavor(draft.make(rule, alias, count, hosts, aliases, settings))
        for count in draft.counts(rule, alias, hosts)
    ]


def _flavor(drafted: FlavorDraft) -> dict[str, Any]:
    flavor: dict[str, Any] = {"gpus": drafted.count}
    if drafted.vcpus:
        flavor["vcpus"] = drafted.vcpus
    if drafted.ram_mib:
        flavor["ram_mib"] = drafted.ram_mib
    most = min(
        host.max_guest_ram_mib(drafted.alias, drafted.count, drafted.extra_specs)
        for host in drafted.layouts
    )
    if most < drafted.ram_mib:
        flavor["most_ram_mib"] = most
    flavor["extra_specs"] = dict(drafted.extra_specs)
    return flavor
