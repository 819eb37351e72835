# SPDX-License-Identifier: Apache-2.0
"""Names in a fleet file that must stand for something: models, aliases, resource classes."""

from collections.abc import Iterable, Mapping, Sequence

from nova_gpu_passthrough.errors import UserError
from nova_gpu_passthrough.fleet.aliases import Alias, Key
from nova_gpu_passthrough.fleet.consistency import AMOUNTS
from nova_gpu_passthrough.fleet.model import FleetFile, HostGroup
from nova_gpu_passthrough.fleet.offers import Kind, Offer
from nova_gpu_passthrough.fleet.store import place

#: The extra spec by which a flavor asks for PCI devices.
PCI_ALIAS = "pci_passthrough:alias"
_RESOURCES = "resources"


def check(
    file: FleetFile,
    offers: Sequence[Offer],
    known: Mapping[Key, Alias],
    groups: Mapping[str, HostGroup],
) -> None:
    """Check that flavors and quotas name what there is.

    :param groups: by host
    :raises UserError: with line and key of the first that does not
    """
    for number, rule in enumerate(file.flavors):
        wanted = rule.groups or [group.name for group in file.groups]
        models = sorted(
            {
                gpu.model
                for offer in offers
                if groups[offer.host].name in wanted
                for gpu in offer.gpus
            }
        )
        if rule.model not in models:
            where = f"in {', '.join(rule.groups)}" if rule.groups else "of mode passthrough"
            raise UserError(
                f"{place(file, 'flavors', number, 'model')}: no host {where} has a GPU of model "
                f"{rule.model} for servers, {_expected(models)}"
            )
    names = [alias.name for alias in known.values()]
    for number, flavor in enumerate(file.fixed_flavors):
        where = place(file, "fixed_flavors", number, "extra_specs", PCI_ALIAS)
        try:
            asked = parse_aliases(flavor.extra_specs.get(PCI_ALIAS, ""))
        except ValueError as error:
            raise UserError(f"{where}: {error}") from None
        for name in asked:
            if name not in names:
                raise UserError(f"{where}: there is no alias {name}, {_expected(names)}")
    counted = [*AMOUNTS, *names, *classes_of_fixed_flavors(file)]
    quotas = [(("quotas", "default"), file.quotas.default)]
    places: list[tuple[tuple[str | int, ...], Mapping[str, int]]] = [*quotas]
    places += [(("projects", n, "quotas"), p.quotas) for n, p in enumerate(file.projects)]
    for keys, amounts in places:
        for key in amounts:
            if key not in counted:
                raise UserError(
                    f"{place(file, *keys, key)}: there is no alias {key}, {_expected(counted)}"
                )


def unknown_device(file: FleetFile, number: int, offers: Iterable[Offer]) -> str:
    """What to say of an alias rule that no device has anything to do with."""
    rule = file.aliases[number]
    devices = [offered for offer in offers for offered in offer.devices]
    models = {offered.model for offered in devices if offered.kind == rule.kind}
    where = place(file, "aliases", number, "model")
    if rule.model not in models:
        what = f"no host of mode passthrough has a device {rule.model} of kind {rule.kind}"
        return f"{where}: {what} for servers, {_expected(sorted(models))}"
    types = sorted(
        {
            str(offered.device.device_type)
            for offered in devices
            if (offered.kind, offered.model) == (rule.kind, rule.model)
        }
    )
    where = place(file, "aliases", number, "device_type")
    return f"{where}: no device {rule.model} is {rule.device_type}, {_expected(types)}"


def classes_of_fixed_flavors(file: FleetFile) -> list[str]:
    """Resource classes that written-out flavors ask for by ``resources:CLASS``, such as VGPU."""
    found = set()
    for flavor in file.fixed_flavors:
        for key in flavor.extra_specs:
            namespace, _, name = key.partition(":")
            # Groups of resources have a suffix: resources1, resources_NET.
            if namespace.startswith(_RESOURCES) and name not in ("VCPU", "PCPU", "MEMORY_MB"):
                found.add(name)
    return sorted(found)


def parse_aliases(text: str) -> dict[str, int]:
    """How many devices of each alias ``pci_passthrough:alias`` asks for.

    :raises ValueError: with a sentence, if Nova would not read it
        (``_translate_alias_to_requests`` in nova/pci/request.py)
    """
    asked: dict[str, int] = {}
    for part in filter(None, text.split(",")):
        name, _, count = part.partition(":")
        if not count.strip().isdecimal() or int(count) < 1:
            raise ValueError(f"{text!r} is no list of aliases, expected NAME:COUNT,NAME:COUNT")
        asked[name.strip()] = asked.get(name.strip(), 0) + int(count)
    return asked


def gpu_aliases(known: Mapping[Key, Alias]) -> dict[str, Alias]:
    """The aliases of GPUs by name."""
    return {alias.name: alias for alias in known.values() if alias.kind is Kind.GPU}


def _expected(names: Iterable[str]) -> str:
    names = list(names)
    return f"expected one of: {', '.join(names)}" if names else "and there is no other"
