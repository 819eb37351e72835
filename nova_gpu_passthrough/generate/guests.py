# SPDX-License-Identifier: Apache-2.0
"""What flavors and images need, as a YAML table for whoever makes them."""

from collections.abc import Mapping, Sequence
from typing import Any

from nova_gpu_passthrough.files import documents
from nova_gpu_passthrough.fleet.aliases import Alias, Key
from nova_gpu_passthrough.fleet.desired import Flavor
from nova_gpu_passthrough.fleet.flavors import address_space, draft, layout
from nova_gpu_passthrough.fleet.flavors.draft import Draft
from nova_gpu_passthrough.fleet.flavors.layout import Layout
from nova_gpu_passthrough.fleet.flavors.specs import hides_hypervisor
from nova_gpu_passthrough.fleet.model import FlavorRule
from nova_gpu_passthrough.fleet.offers import Kind, Offer
from nova_gpu_passthrough.fleet.references import PCI_ALIAS, parse_aliases
from nova_gpu_passthrough.fleet.settings import Settings
from nova_gpu_passthrough.generate.options import comment

_WHAT = "What flavors and images for the GPUs of this cloud need."
_HEADING = f"""\
{_WHAT} Nothing here is applied by itself.

vcpus and ram_mib: the most with which all GPUs of a host can be used at the same time.

most_ram_mib, where it is less: with more, a guest's address space does not hold the BARs of its
GPUs, so it boots and misses some. 0: they do not fit whatever the memory.
"""
_FLEET_HEADING = f"""\
{_WHAT} The flavors are those of the fleet file, which nova-gpu apply makes; images are yours.
"""
_FOOTING = """\
Instead of hw:pci_numa_affinity_policy an image may have hw_pci_numa_affinity_policy; where both are
set, they must be equal.
"""


def table(
    offers: Sequence[Offer],
    known: Mapping[Key, Alias],
    settings: Settings,
    flavors: Sequence[Flavor] | None = None,
) -> str:
    """The table's text, with a heading.

    :param flavors: those of a fleet file; None: what the hosts suggest
    """
    layouts = [layout.of(offer, known, settings) for offer in offers]
    gpus = []
    for alias in known.values():
        if alias.kind is Kind.GPU:
            hosts = [host for host in layouts if host.gpus(alias)]
            made = (
                _suggested(alias, hosts, known, settings)
                if flavors is None
                else _given(alias, flavors)
            )
            gpus.append({**_gpu(alias, hosts), "flavors": made})
    others = [
        {"alias": alias.name, "resource_class": alias.resource_class}
        for alias in known.values()
        if alias.kind is Kind.NIC
    ]
    heading = (_HEADING if flavors is None else _FLEET_HEADING) + "\n" + _FOOTING
    document = {"gpus": gpus} | ({"nics": others} if others else {})
    return comment(heading.strip()) + "\n" + documents.dump(document)


def _gpu(alias: Alias, hosts: Sequence[Layout]) -> dict[str, Any]:
    properties: dict[str, Any] = {"hw_firmware_type": "uefi"}
    if hosts[0].offer.inventory.cpu.vendor in ("intel", "amd"):
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


def _given(alias: Alias, flavors: Sequence[Flavor]) -> list[dict[str, Any]]:
    return [
        {
            "name": flavor.name,
            "gpus": flavor.gpus,
            "vcpus": flavor.vcpus,
            "ram_mib": flavor.ram_mib,
            "extra_specs": dict(flavor.extra_specs),
        }
        for flavor in flavors
        if alias.name in parse_aliases(flavor.extra_specs.get(PCI_ALIAS, ""))
    ]


def _suggested(
    alias: Alias, hosts: Sequence[Layout], known: Mapping[Key, Alias], settings: Settings
) -> list[dict[str, Any]]:
    rule = FlavorRule(alias.model)
    return [
        _flavor(draft.make(rule, alias, count, hosts, known, settings))
        for count in draft.counts(rule, alias, hosts)
    ]


def _flavor(made: Draft) -> dict[str, Any]:
    flavor: dict[str, Any] = {"gpus": made.count}
    if made.vcpus:
        flavor["vcpus"] = made.vcpus
    if made.ram_mib:
        flavor["ram_mib"] = made.ram_mib
    least = min(
        address_space.most_ram_mib(host.offer, host.gpus(made.alias), made.count, made.extra_specs)
        for host in made.layouts
    )
    if least < made.ram_mib:
        flavor["most_ram_mib"] = least
    flavor["extra_specs"] = dict(made.extra_specs)
    return flavor
