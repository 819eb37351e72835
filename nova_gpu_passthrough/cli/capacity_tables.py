# SPDX-License-Identifier: Apache-2.0
"""The tables of ``nova-gpu capacity``."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from nova_gpu_passthrough.cli.listing import ListColumn, OptionalColumn, or_unlimited

if TYPE_CHECKING:
    from nova_gpu_passthrough.cloud.fit.capacity import CloudCapacity, FlavorCapacity
    from nova_gpu_passthrough.cloud.quota.flavor_quota import QuotaAnswer
    from nova_gpu_passthrough.cloud.view.model import CloudHost

Table = tuple[Sequence[str], Iterable[tuple[Any, ...]]]
_Cells = Callable[["FlavorCapacity"], tuple[Any, ...]]

_BY_HOST = ("Flavor", "Host", "Servers", "Limited By", "Refused By", "Detail")
_STRANDED = ("Host", "Address", "Model", "Limited By", "Flavor", "Detail")
_BY_DOMAIN = ("Flavor", "Domain", "Hosts", "Servers", "If It Fails")


class FlavorTable:
    """The table with a row for each flavor."""

    def __init__(self, counted: "CloudCapacity") -> None:
        self._counted = counted
        self._numbers: tuple[Sequence[str], _Cells] = (("Servers",), lambda one: (one.servers,))
        self._more: tuple[Sequence[str], _Cells] = ((), lambda one: ())
        self._quota: tuple[Sequence[str], _Cells] = ((), lambda one: ())

    def compare(self, added: Collection[str], removed: Collection[str], formatter: str) -> None:
        """Compare the servers that fit now with those that fit after a change of the hosts.

        People get a text, programs three numbers.

        :param added: names of hosts that are counted and are not there now
        :param removed: names of hosts that are counted and would not be there
        """

        def numbers(one: "FlavorCapacity") -> tuple[int, int, int]:
            more = sum(one.by_host[host] for host in added)
            less = sum(one.by_host[host] for host in removed)
            return one.servers - more, one.servers - less, more - less

        def text(one: "FlavorCapacity") -> tuple[str]:
            now, then, change = numbers(one)
            return (f"{now} -> {then} ({change:+d})",)

        if formatter == "table":
            self._numbers = (("Servers",), text)
        else:
            self._numbers = (("Servers", "Servers Then", "Change"), numbers)

    def add_loss(self, hosts: Sequence["CloudHost"], level: str) -> None:
        """Add how many servers fit after the worst failure of a domain of a level."""
        from nova_gpu_passthrough.cloud.fit import domain_loss

        self._more = (
            (f"If {level.title()} Fails",),
            lambda one: (domain_loss.losses(one, hosts, level)[0].remaining,),
        )

    def add_quota(self, answers: "Mapping[str, QuotaAnswer]") -> None:
        """Add how many servers the quota of the project permits, by name of the flavor."""
        self._quota = (
            ("By Quota",),
            lambda one: (or_unlimited(answers[one.flavor].servers),),
        )

    def table(self) -> Table:
        """Return columns and rows."""
        (names, numbers), (more_names, more) = self._numbers, self._more
        quota_names, quota = self._quota
        names = (*names, *quota_names)
        columns = ("Flavor", "GPUs", "Model", *names, "Hosts", *more_names, "Limited By", "Exact")
        return columns, [
            (
                one.flavor,
                one.gpus,
                OptionalColumn(one.model),
                *numbers(one),
                *quota(one),
                one.hosts,
                *more(one),
                OptionalColumn(one.limited_by and str(one.limited_by)),
                one.exact,
            )
            for one in self._counted.flavors
        ]


def by_host(counted: "CloudCapacity") -> Table:
    """Return a row for each flavor on each host."""
    return _BY_HOST, [
        (
            flavor.flavor,
            host,
            servers,
            ListColumn(tuple(map(str, flavor.limits[host].constraints))),
            str(flavor.limits[host].stage),
            flavor.detail(host),
        )
        for flavor in counted.flavors
        for host, servers in flavor.by_host.items()
    ]


def by_domain(counted: "CloudCapacity", hosts: Sequence["CloudHost"], level: str) -> Table:
    """Return a row for each flavor and each failure domain, the one that costs most first."""
    from nova_gpu_passthrough.cloud.fit import domain_loss

    return _BY_DOMAIN, [
        (flavor.flavor, loss.domain, loss.hosts, loss.lost, loss.remaining)
        for flavor in counted.flavors
        for loss in domain_loss.losses(flavor, hosts, level)
    ]


def stranded(counted: "CloudCapacity") -> Table:
    """Return a row for each free GPU that no server can use."""
    return _STRANDED, [
        (
            gpu.host,
            gpu.address,
            gpu.model,
            str(gpu.constraint),
            OptionalColumn(gpu.flavor),
            gpu.detail,
        )
        for gpu in counted.stranded
    ]
