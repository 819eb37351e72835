# SPDX-License-Identifier: Apache-2.0
"""Checks: each a function from the facts to findings. They read no files and ask no service."""

from collections.abc import Callable, Iterable, Iterator

from nova_gpu_passthrough.cloud.lint.checks import (
    alias_agreement,
    alias_devices,
    alias_syntax,
    compute_options,
    device_spec_devices,
    device_spec_meaning,
    device_spec_syntax,
    devices,
    filters,
    flavor_numa,
    flavor_size,
    flavors,
    fleet_flavors,
    hosts,
    inventory,
    options,
    pci_in_placement,
    pending,
    placement_options,
    protection,
    providers,
    quota,
    scheduler_options,
    weighers,
)
from nova_gpu_passthrough.cloud.lint.facts import Facts
from nova_gpu_passthrough.inventory.findings import Finding

Check = Callable[[Facts], Iterator[Finding]]
#: Of no use to a fleet without hosts that pass GPUs through, whose aliases and filters none needs.
_PASSTHROUGH = frozenset(
    (
        alias_agreement.check,
        filters.check,
        pci_in_placement.check,
        placement_options.check,
        scheduler_options.check,
        weighers.check,
    )
)
#: In the order in which an operator fixes things: files first, then what follows from them.
CHECKS: tuple[Check, ...] = (
    options.check,
    alias_syntax.check,
    alias_agreement.check,
    alias_devices.check,
    device_spec_syntax.check,
    device_spec_devices.check,
    device_spec_meaning.check,
    pci_in_placement.check,
    compute_options.check,
    filters.check,
    weighers.check,
    scheduler_options.check,
    placement_options.check,
    protection.check,
    quota.check,
    inventory.check,
    fleet_flavors.check,
    flavors.check,
    flavor_numa.check,
    flavor_size.check,
    hosts.check,
    providers.check,
    devices.check,
    pending.check,
)


def useful(facts: Facts, checks: Iterable[Check]) -> Iterator[Check]:
    """Those that have something to say of such a fleet."""
    return (check for check in checks if facts.offers or check not in _PASSTHROUGH)


def findings(facts: Facts) -> tuple[Finding, ...]:
    """What all checks find."""
    return tuple(finding for check in useful(facts, CHECKS) for finding in check(facts))
