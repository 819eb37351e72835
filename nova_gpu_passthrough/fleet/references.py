# SPDX-License-Identifier: Apache-2.0
"""Checks that the models, aliases and resource classes that a fleet file names exist."""

from collections.abc import Iterable, Mapping, Sequence

from nova_gpu_passthrough.errors import UserError
from nova_gpu_passthrough.fleet.aliases import Alias, AliasMap
from nova_gpu_passthrough.fleet.consistency import AMOUNTS
from nova_gpu_passthrough.fleet.model import FleetFile, HostGroup
from nova_gpu_passthrough.fleet.offers import DeviceKind, HostOffer
from nova_gpu_passthrough.fleet.store import location
from nova_gpu_passthrough.nova_rules import alias_string, placement_extra_specs
from nova_gpu_passthrough.nova_rules.alias_string import EXTRA_SPEC, InvalidAliasStringError

#: Resource classes that have a quota of their own; see `AMOUNTS`.
_WITH_AMOUNT = ("VCPU", "PCPU", "MEMORY_MB")


def check(
    file: FleetFile,
    offers: Sequence[HostOffer],
    aliases: AliasMap,
    groups: Mapping[str, HostGroup],
) -> None:
    """Check that flavors and quotas name existing models, aliases and resource classes.

    :param groups: by host
    :raises UserError: with line and key of the first name that does not exist
    """
    for number, rule in enumerate(file.flavors):
        rule_groups = rule.groups or [group.name for group in file.groups]
        models = sorted(
            {
                gpu.model
                for offer in offers
                if groups[offer.host].name in rule_groups
                for gpu in offer.gpus
            }
        )
        if rule.model not in models:
            where = f"in {', '.join(rule.groups)}" if rule.groups else "of mode passthrough"
            raise UserError(
                f"{location(file, 'flavors', number, 'model')}: no host {where} has a GPU of model "
                f"{rule.model} for servers, {_expected(models)}"
            )
    names = [alias.name for alias in aliases.values()]
    for number, flavor in enumerate(file.fixed_flavors):
        where = location(file, "fixed_flavors", number, "extra_specs", EXTRA_SPEC)
        try:
            requested = requested_devices(flavor.extra_specs)
        except InvalidAliasStringError as error:
            raise UserError(f"{where}: {error}") from None
        for name in requested:
            if name not in names:
                raise UserError(f"{where}: there is no alias {name}, {_expected(names)}")
    keys = [*AMOUNTS, *names, *classes_of_fixed_flavors(file)]
    quotas: list[tuple[tuple[str | int, ...], Mapping[str, int]]] = [
        (("quotas", "default"), file.quotas.default)
    ]
    quotas += [(("projects", n, "quotas"), p.quotas) for n, p in enumerate(file.projects)]
    for path, amounts in quotas:
        for key in amounts:
            if key not in keys:
                raise UserError(
                    f"{location(file, *path, key)}: there is no alias {key}, {_expected(keys)}"
                )


def unknown_device(file: FleetFile, number: int, offers: Iterable[HostOffer]) -> str:
    """Return the error message for an alias rule that no device matches."""
    rule = file.aliases[number]
    devices = [offered for offer in offers for offered in offer.devices]
    models = {offered.model for offered in devices if offered.kind == rule.kind}
    where = location(file, "aliases", number, "model")
    if rule.model not in models:
        problem = f"no host of mode passthrough has a device {rule.model} of kind {rule.kind}"
        return f"{where}: {problem} for servers, {_expected(sorted(models))}"
    types = sorted(
        {
            str(offered.device.device_type)
            for offered in devices
            if (offered.kind, offered.model) == (rule.kind, rule.model)
        }
    )
    where = location(file, "aliases", number, "device_type")
    return f"{where}: no device {rule.model} is {rule.device_type}, {_expected(types)}"


def classes_of_fixed_flavors(file: FleetFile) -> list[str]:
    """Return the resource classes that fixed flavors request by ``resources:CLASS``, as VGPU."""
    classes = {
        one.name
        for flavor in file.fixed_flavors
        for one in placement_extra_specs.resources(flavor.extra_specs)
    }
    return sorted(classes.difference(_WITH_AMOUNT))


def requested_devices(extra_specs: Mapping[str, str]) -> dict[str, int]:
    """Return the number of devices of each alias that a flavor requests.

    :raises InvalidAliasStringError: with a sentence, if Nova refuses the value or it has a count of
        0
    """
    requested: dict[str, int] = {}
    for name, count in alias_string.read(extra_specs):
        if not count:
            raise InvalidAliasStringError(f"{name}:0 requests no device, expected 1 or more")
        requested[name] = requested.get(name, 0) + count
    return requested


def gpu_aliases(aliases: AliasMap) -> dict[str, Alias]:
    """Return the aliases of GPUs by name."""
    return {alias.name: alias for alias in aliases.values() if alias.kind is DeviceKind.GPU}


def _expected(names: Iterable[str]) -> str:
    names = list(names)
    return f"expected one of: {', '.join(names)}" if names else "and there is no other"
