# SPDX-License-Identifier: Apache-2.0
"""Traits that restrict a flavor to the hosts of some groups.

nova-compute reads custom traits of its own resource provider from files
(doc/source/admin/managing-resource-providers.rst in Nova's tree), and a flavor requires one by
``trait:NAME=required``. A trait is used only if hosts of other groups also have GPUs of the alias.
"""

from collections.abc import Mapping, Sequence

from nova_gpu_passthrough.fleet.aliases import Alias, AliasMap, alias_key
from nova_gpu_passthrough.fleet.device_names import group_trait
from nova_gpu_passthrough.fleet.model import FlavorRule, FleetFile, HostGroup
from nova_gpu_passthrough.fleet.offers import HostOffer


def required_trait(
    rule: FlavorRule,
    alias: Alias,
    offers: Sequence[HostOffer],
    aliases: AliasMap,
    groups: Mapping[str, HostGroup],
) -> str | None:
    """Return the trait that a rule's flavors require; None if only its groups have the alias."""
    if rule.groups is None:
        return None
    with_alias = {
        groups[offer.host].name
        for offer in offers
        if any(aliases[alias_key(gpu)] is alias for gpu in offer.gpus)
    }
    return None if with_alias <= set(rule.groups) else group_trait(rule.groups)


def traits_by_host(
    file: FleetFile,
    offers: Sequence[HostOffer],
    aliases: AliasMap,
    groups: Mapping[str, HostGroup],
) -> dict[str, tuple[str, ...]]:
    """Return the traits of each host's own resource provider; hosts without traits are left out.

    :param groups: by host
    """
    traits: dict[str, set[str]] = {}
    for rule in file.flavors:
        members = [offer.host for offer in offers if groups[offer.host].name in (rule.groups or ())]
        for alias in aliases.values():
            if alias.model != rule.model:
                continue
            name = required_trait(rule, alias, offers, aliases, groups)
            if name is not None:
                for host in members:
                    traits.setdefault(host, set()).add(name)
    return {host: tuple(sorted(names)) for host, names in sorted(traits.items())}
