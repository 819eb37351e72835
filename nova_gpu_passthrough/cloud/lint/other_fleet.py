# SPDX-License-Identifier: Apache-2.0
"""Configuration of other hosts than the fleet file's, which every check would contradict."""

from collections.abc import Iterable

from nova_gpu_passthrough.cloud.lint import configured_device_spec
from nova_gpu_passthrough.cloud.lint.configuration.services import ServiceRole
from nova_gpu_passthrough.cloud.lint.facts import Facts
from nova_gpu_passthrough.inventory import host_list
from nova_gpu_passthrough.inventory.findings import Finding, Severity

#: How many hosts, or ranges of hosts, are listed.
_LISTED = 8


def find(facts: Facts) -> Finding | None:
    """Return a finding if compute nodes with GPUs were given, and none of them is in the fleet."""
    given = {
        service.host: service
        for service in facts.services_with(ServiceRole.COMPUTE)
        if service.configuration.all(*configured_device_spec.OPTIONS)
    }
    if not given or not facts.offers or given.keys() & facts.offers.keys():
        return None
    names, expected = _folded(given), _folded(facts.offers)
    return Finding(
        "config.other_fleet",
        Severity.FAILURE,
        "configuration",
        f"it is of {names}, and the fleet file has {expected}",
        str(next(iter(given.values())).configuration.last_file),
        "Aliases, devices and options of another fleet differ in everything, so the configuration "
        "was not compared.",
        f"Give the configuration of {expected}, or the fleet file of {names}; directories below "
        "--config must have the names of the hosts in Nova.",
    )


def _folded(names: Iterable[str]) -> str:
    ranges = host_list.fold(names)
    more = len(ranges) - _LISTED
    return ", ".join(ranges[:_LISTED]) + (f" and {more} more" if more > 0 else "")
