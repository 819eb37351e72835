# SPDX-License-Identifier: Apache-2.0
"""How a flavor is kept to the hosts of some groups: by a trait of these hosts.

Nova reads which custom traits its own resource provider has from files
(doc/source/admin/managing-resource-providers.rst in Nova's tree), and a flavor requires one by
``trait:NAME=required``. It is used only where hosts of other groups have GPUs of the alias, too.
"""

from collections.abc import Mapping, Sequence

from nova_gpu_passthrough.fleet import aliases
from nova_gpu_passthrough.fleet.aliases import Alias, Key, key_of
from nova_gpu_passthrough.fleet.model import FlavorRule, FleetFile, HostGroup
from nova_gpu_passthrough.fleet.offers import Offer


def trait(names: Sequence[str]) -> str:
    """Of the hosts of these groups; a flavor can require all of several traits, not one of them."""
    return aliases.trait("GPU_GROUP", *sorted(names))


def required(
    rule: FlavorRule,
    alias: Alias,
    offers: Sequence[Offer],
    known: Mapping[Key, Alias],
    groups: Mapping[str, HostGroup],
) -> str | None:
    """The trait that keeps a rule's flavors off other groups' hosts; None if there are none.

    :param groups: by host
    """
    if rule.groups is None:
        return None
    names = {
        groups[offer.host].name
        for offer in offers
        if any(known[key_of(gpu)] is alias for gpu in offer.gpus)
    }
    return None if names <= set(rule.groups) else trait(rule.groups)


def traits(
    file: FleetFile,
    offers: Sequence[Offer],
    known: Mapping[Key, Alias],
    groups: Mapping[str, HostGroup],
) -> dict[str, tuple[str, ...]]:
    """The traits that flavors require of each host's own provider; hosts without are left out."""
    found: dict[str, set[str]] = {}
    for rule in file.flavors:
        members = [offer.host for offer in offers if groups[offer.host].name in (rule.groups or ())]
        for alias in known.values():
            name = required(rule, alias, offers, known, groups) if alias.model == rule.model else ""
            for host in members if name else ():
                found.setdefault(host, set()).add(str(name))
    return {host: tuple(sorted(names)) for host, names in sorted(found.items())}
