# SPDX-License-Identifier: Apache-2.0
"""Nova's PCI device pools of a host, read with care.

Pools are dicts that come from the compute node over the database (``nova/pci/stats.py``). What
does not look as Nova makes it is refused with a sentence that names the pool and the key.
"""

import functools
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from nova_gpu_passthrough.catalog import models
from nova_gpu_passthrough.topology import tags
from nova_gpu_passthrough.topology.model import MAX_GPUS, Device, Gpu

if TYPE_CHECKING:
    from nova.pci.stats import PciDeviceStats

#: Types of an optional name.
_TEXT = (str, type(None))
_FIX = "fix [pci] device_spec of the compute node"


#: Keys of a pool that tell where its devices are, not of what kind they are.
_PLACES = frozenset(
    ("address", "rp_uuid", "count", "numa_node", tags.LINK_GROUP, tags.SWITCH, tags.CARD)
)


class MalformedPoolError(ValueError):
    """A pool is not what Nova would make; the message is one sentence for the operator."""


class Pool(NamedTuple):
    """One pool: a device, or the alike VFs of one PF."""

    raw: Mapping[str, Any]
    address: str
    free: int
    numa_node: int | None
    #: Catalogue or operator's name; None for a device that is no known GPU.
    model: str | None
    link_group: tuple[str, ...]
    switch: str | None
    card: str | None
    provider: str | None

    def gpus(self) -> list[Gpu]:
        """Its free devices as GPUs."""
        model = self.model or f"{self.raw['vendor_id']}:{self.raw['product_id']}"
        return [
            Gpu(
                self.address,
                model,
                self.numa_node,
                self.link_group,
                self.switch,
                self.card,
                self.provider,
                index,
            )
            for index in range(min(self.free, MAX_GPUS))
        ]

    def devices(self, most: int) -> list[Device]:
        """At most ``most`` of its free devices."""
        return [
            Device(self.address, self.numa_node, self.switch, self.card, self.provider, index)
            for index in range(min(self.free, most))
        ]

    def is_like(self, other: "Pool") -> bool:
        """Whether the pools differ in nothing but where their devices are."""
        return {k: v for k, v in self.raw.items() if k not in _PLACES} == {
            k: v for k, v in other.raw.items() if k not in _PLACES
        }

    def serves(self, specs: Iterable[Mapping[str, Any]]) -> bool:
        """Whether the pool has the properties of one of an alias's specs.

        The rules are those of ``PciDeviceStats._filter_pools`` that do not depend on NUMA.
        """
        return any(self._has(spec) for spec in specs)

    def _has(self, spec: Mapping[str, Any]) -> bool:
        raw = self.raw
        for key, wanted in spec.items():
            found = raw.get(key)
            if (found.lower() if isinstance(found, str) else found) != wanted:
                return False
        dev_type = raw.get("dev_type")
        # An alias's spec is in lower case here, so one that asks for the type has it already.
        if dev_type in ("type-PF", "vdpa") and "dev_type" not in spec:
            return False
        return not _is_true(raw.get("remote_managed")) or _is_true(spec.get("remote_managed"))


def read(pools: Iterable[Mapping[str, Any]]) -> list[Pool]:
    """Read the pools that have free devices.

    :raises MalformedPoolError: if any pool is not as Nova makes it, or has an unknown ``gpu_`` tag
    """
    if not isinstance(pools, list):
        raise MalformedPoolError(f"PCI pools are {type(pools).__name__}, expected a list")
    return [pool for raw in pools if (pool := _read_pool(raw)).free]


def model_of(pool: Mapping[str, Any]) -> str | None:
    """The GPU model of a pool with free devices; None if it has none, or no known GPUs.

    It looks at no more than it needs, since it runs for servers without GPUs on every host.
    """
    if type(pool) is not dict:
        return None
    count, model = pool.get("count"), pool.get(tags.MODEL)
    if type(count) is not int or count <= 0:
        return None
    if model is not None:
        return model if type(model) is str else None
    vendor, product = pool.get("vendor_id"), pool.get("product_id")
    if type(vendor) is not str or type(product) is not str:
        return None
    known = models.lookup(vendor.lower(), product.lower())
    return known.name if known else None


def known_gpus(stats: "PciDeviceStats | None") -> Iterator[tuple[str, int]]:
    """Model and number of free devices of every pool of known GPUs."""
    for pool in stats.pools if stats else ():
        model = model_of(pool)
        if model is not None:
            yield model, pool["count"]


def _read_pool(raw: Mapping[str, Any]) -> Pool:
    model = _check(raw)
    numa_node, link_group, address = raw["numa_node"], raw.get(tags.LINK_GROUP), raw.get("address")
    return Pool(
        raw,
        f"{raw['vendor_id']}:{raw['product_id']}" if address is None else address,
        raw["count"],
        # Nova passes on the kernel's -1 for "not told" as such or as None.
        None if numa_node is None or numa_node < 0 else numa_node,
        model,
        () if link_group is None else _link_path(link_group),
        raw.get(tags.SWITCH),
        raw.get(tags.CARD),
        raw.get("rp_uuid"),
    )


def _check(raw: Mapping[str, Any]) -> str | None:
    """Refuse a pool that is not as Nova makes it; the GPU model of others."""
    if not isinstance(raw, dict):
        raise MalformedPoolError(f"a PCI pool is {type(raw).__name__}, expected a mapping")
    try:
        vendor, product = raw["vendor_id"], raw["product_id"]
        count, numa_node = raw["count"], raw["numa_node"]
    except KeyError as missing:
        raise MalformedPoolError(f"PCI pool {_name(raw)} has no {missing}") from None
    if type(vendor) is not str or type(product) is not str:
        raise MalformedPoolError(f"PCI pool {_name(raw)}: vendor_id or product_id is no string")
    if type(count) is not int or count < 0:
        raise MalformedPoolError(
            f"PCI pool {_name(raw)}: count is {count!r}, expected a number from 0 on"
        )
    if numa_node is not None and type(numa_node) is not int:
        raise MalformedPoolError(
            f"PCI pool {_name(raw)}: numa_node is {numa_node!r}, expected a number or nothing"
        )
    address, provider = raw.get("address"), raw.get("rp_uuid")
    if type(address) not in _TEXT or type(provider) not in _TEXT:
        wrong = "rp_uuid" if type(address) in _TEXT else "address"
        raise MalformedPoolError(f"PCI pool {_name(raw)}: {wrong} is {raw[wrong]!r}, expected text")
    ours, problem = _tags_among(tuple(raw))
    if problem:
        raise MalformedPoolError(f"PCI pool {_name(raw)}: {problem}")
    for key in ours:
        value = raw[key]
        if (
            type(value) is not str
            or not value
            or (key == tags.LINK_GROUP and not _link_path(value))
        ):
            raise MalformedPoolError(
                f"PCI pool {_name(raw)}: tag {key} is {value!r}, expected a name; {_FIX}"
            )
    model: str | None = raw.get(tags.MODEL)
    if model is None:
        known = models.lookup(vendor.lower(), product.lower())
        model = known.name if known else None
    return model


@functools.lru_cache(maxsize=1024)
def _tags_among(keys: tuple[Any, ...]) -> tuple[tuple[str, ...], str | None]:
    """Which keys of a pool are our tags, and what is wrong with the keys."""
    for key in keys:
        if not isinstance(key, str):
            return (), f"key {key!r} is no string"
    ours = tuple(key for key in keys if key.startswith(tags.PREFIX))
    for key in ours:
        if key not in tags.TAGS:
            return (), f"tag {key} is unknown, expected one of {', '.join(tags.TAGS)}; {_FIX}"
    return ours, None


@functools.lru_cache(maxsize=4096)
def _link_path(link_group: str) -> tuple[str, ...]:
    """A link group's name and those of the partitions inside it; empty if one has no name."""
    path = tuple(link_group.split(tags.LINK_SEPARATOR))
    return path if all(path) else ()


def _name(raw: Mapping[str, Any]) -> str:
    return str(raw.get("address") or f"{raw.get('vendor_id')}:{raw.get('product_id')}")


def _is_true(value: Any) -> bool:
    return isinstance(value, str) and value.lower() in ("true", "1", "yes", "on", "t", "y")
