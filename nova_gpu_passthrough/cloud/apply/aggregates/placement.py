# SPDX-License-Identifier: Apache-2.0
"""Aggregates in Placement, by which it knows availability zones.

When a host joins, Nova puts its resource provider into Placement's aggregate of the same UUID. If
Placement is away at that moment, the host has joined and its provider has not, and Nova does not
try again (``AggregateAPI.add_host_to_aggregate`` in nova/compute/api.py): no server that asks for
the zone gets there until ``nova-manage placement sync_aggregates`` is run, or this.
"""

from collections.abc import Iterable
from typing import Any

from openstack import exceptions

from nova_gpu_passthrough.cloud.apply.api import Api, Refused
from nova_gpu_passthrough.cloud.view.api import absent

#: nova-compute writes providers, too: how often to try again.
_ATTEMPTS = 4


def missing(api: Api, aggregate: str, hosts: Iterable[str]) -> dict[str, str]:
    """Resource providers, by host, that are not in an aggregate though their hosts are.

    :param aggregate: its UUID
    """
    found = api.placement("/resource_providers", member_of=aggregate)["resource_providers"]
    members = {provider[key] for provider in found for key in ("name", "uuid")}
    providers = {host: _provider(api, host) for host in sorted(set(hosts) - members)}
    return {host: one for host, one in providers.items() if one and one not in members}


def add(api: Api, aggregate: str, provider: str) -> None:
    """Put a resource provider into an aggregate.

    :raises Refused: if Placement does not do it
    """
    path = f"/resource_providers/{provider}/aggregates"
    for attempt in range(1, _ATTEMPTS + 1):
        body: dict[str, Any] = api.placement(path)
        if aggregate in body["aggregates"]:
            return
        try:
            new = {**body, "aggregates": [*body["aggregates"], aggregate]}
            api.send("placement", "PUT", path, new)
        except Refused as refused:
            if refused.status != 409 or attempt == _ATTEMPTS:
                raise


def _provider(api: Api, host: str) -> str | None:
    """The resource provider of a host's first node; None if it has not reported one yet."""
    found = api.placement("/resource_providers", name=host)["resource_providers"]
    if found:
        named: str = found[0]["uuid"]
        return named
    # The node may have another name than the host, such as one with a domain. Nova finds part of a
    # name, gives no pages of that, and answers 404 where it finds none.
    try:
        nodes = api.nova("/os-hypervisors/detail", hypervisor_hostname_pattern=host)["hypervisors"]
    except exceptions.HttpException as error:
        if not absent(error):
            raise
        return None
    for node in nodes:
        if node["service"]["host"] == host:
            number: str = node["id"]
            return number
    return None
