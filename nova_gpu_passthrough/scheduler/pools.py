# SPDX-License-Identifier: Apache-2.0
"""Read and check Nova's PCI device pools of a host.

Pools are dicts that come from the compute node through the database (``nova/pci/stats.py``). A pool
in another form than Nova's is refused with a message that names the pool and the key.
"""

import functools
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from nova_gpu_passthrough.catalog import models
from nova_gpu_passthrough.topology import tags
from nova_gpu_passthrough.topology.model import MAX_GPUS, FreeDevice, FreeGpu

if TYPE_CHECKING:
    from nova.pci.stats import PciDeviceStats

#: Types of an optional name.
_TEXT = (str, type(None))
_FIX = "fix [pci] device_spec of the compute node"
#: Keys of a pool that identify its devices or their location, not their kind.
_LOCATION_KEYS = frozenset(
    ("address", "rp_uuid", "count", "numa_node", tags.LINK_GROUP, tags.SWITCH, tags.CARD)
)


class MalformedPoolError(ValueError):
    """A pool is not as Nova makes it; the message is one sentence for the operator."""


class Pool(NamedTuple):
    """A pool of equal free devices: one device, or the VFs of one PF."""

    raw: Mapping[str, Any]
    address: str
    free: int
    numa_node: int | None
    #: Model from the tag or the catalogue; None if the devices are not known GPUs.
    model: str | None
    link_group: tuple[str, ...]
    switch: str | None
    card: str | None
    provider: str | None

    def gpus(self) -> list[FreeGpu]:
        """Return the free devices as GPUs."""
        model = self.model or device_id(self.raw)
        return [
            FreeGpu(
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

    def devices(self, most: int) -> list[FreeDevice]:
        """Return at most ``most`` of the free devices."""
        return [
            FreeDevice(self.address, self.numa_node, self.switch, self.card, self.provider, index)
            for index in range(min(self.free, most))
        ]

    def is_same_kind(self, other: "Pool") -> bool:
        """Check whether the pools differ only in the location of their devices."""
        return {k: v for k, v in self.raw.items() if k not in _LOCATION_KEYS} == {
            k: v for k, v in other.raw.items() if k not in _LOCATION_KEYS
        }

    def serves(self, specs: Iterable[Mapping[str, Any]]) -> bool:
        """Check whether the pool matches one of the specs of a PCI request."""
        return serves(self.raw, specs)


def read(pools: Iterable[Mapping[str, Any]]) -> list[Pool]:
    """Read the pools that have free devices.

    :raises MalformedPoolError: if any pool is not as Nova makes it, or has an unknown ``gpu_`` tag
    """
    if not isinstance(pools, list):
        raise MalformedPoolError(f"PCI pools are {type(pools).__name__}, expected a list")
    return [pool for raw in pools if (pool := _read_pool(raw)).free]


def serves(raw: Mapping[str, Any], specs: Iterable[Mapping[str, Any]]) -> bool:
    """Check whether a pool, which may be malformed, matches one of the specs of a PCI request.

    These are the rules of ``PciDeviceStats._filter_pools`` that do not depend on NUMA.
    """
    return any(_matches(raw, spec) for spec in specs)


def _matches(raw: Mapping[str, Any], spec: Mapping[str, Any]) -> bool:
    for key, expected in spec.items():
        value = raw.get(key)
        if (value.lower() if isinstance(value, str) else value) != expected:
            return False
    # A spec with dev_type matched above. Without it, these types are never offered.
    if raw.get("dev_type") in ("type-PF", "vdpa") and "dev_type" not in spec:
        return False
    return not _is_true(raw.get("remote_managed")) or _is_true(spec.get("remote_managed"))


def model_of(pool: Mapping[str, Any], ids: Collection[str] = ()) -> str | None:
    """Return the GPU model of a pool; None without free devices or if these are not known GPUs.

    Checks only the keys that it needs, since it runs on every host for servers without GPUs.

    :param ids: ``vendor:product`` of further devices that are GPUs
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
    if known:
        return known.name
    if ids and (name := device_id(pool)) in ids:
        return name
    return None


def device_id(raw: Mapping[str, Any]) -> str:
    """Return ``vendor:product``, the model of GPUs that only options identify."""
    return f"{raw['vendor_id']}:{raw['product_id']}"


def known_gpus(
    stats: "PciDeviceStats | None", ids: Collection[str] = ()
) -> Iterator[tuple[str, int]]:
    """Yield the model and the number of free devices of every pool of known GPUs.

    :param ids: ``vendor:product`` of further devices that are GPUs
    """
    for pool in stats.pools if stats else ():
        model = model_of(pool, ids)
        if model is not None:
            yield model, pool["count"]


def _read_pool(raw: Mapping[str, Any]) -> Pool:
    model = _check(raw)
    numa_node, link_group, address = raw["numa_node"], raw.get(tags.LINK_GROUP), raw.get("address")
    return Pool(
        raw,
        device_id(raw) if address is None else address,
        raw["count"],
        # The kernel reports -1 for an unknown node; Nova passes it on as -1 or None.
        None if numa_node is None or numa_node < 0 else numa_node,
        model,
        () if link_group is None else _link_path(link_group),
        raw.get(tags.SWITCH),
        raw.get(tags.CARD),
        raw.get("rp_uuid"),
    )


def _check(raw: Mapping[str, Any]) -> str | None:
    """Check that a pool is as Nova makes it, and return its GPU model.

    :raises MalformedPoolError: if it is not
    """
    if not isinstance(raw, dict):
        raise MalformedPoolError(f"a PCI pool is {type(raw).__name__}, expected a mapping")
    try:
        vendor, product = raw["vendor_id"], raw["product_id"]
        count, numa_node = raw["count"], raw["numa_node"]
    except KeyError as missing:
        raise MalformedPoolError(f"PCI pool {_name(raw)} has no {missing}") from None
    if type(vendor) is not str or type(product) is not str:
        raise MalformedPoolError(f"PCI pool {_name(raw)}: vendor_id or product_id is not a string")
    if type(count) is not int or count < 0:
        raise MalformedPoolError(f"PCI pool {_name(raw)}: count is {count!r}, expected 0 or more")
    if numa_node is not None and type(numa_node) is not int:
        raise MalformedPoolError(
            f"PCI pool {_name(raw)}: numa_node is {numa_node!r}, expected a number or None"
        )
    address, provider = raw.get("address"), raw.get("rp_uuid")
    if type(address) not in _TEXT or type(provider) not in _TEXT:
        wrong = "rp_uuid" if type(address) in _TEXT else "address"
        raise MalformedPoolError(
            f"PCI pool {_name(raw)}: {wrong} is {raw[wrong]!r}, expected a string"
        )
    tag_keys, problem = _tag_keys(tuple(raw))
    if problem:
        raise MalformedPoolError(f"PCI pool {_name(raw)}: {problem}")
    for key in tag_keys:
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
def _tag_keys(keys: tuple[Any, ...]) -> tuple[tuple[str, ...], str | None]:
    """Return this package's tags among the keys of a pool, and what is wrong with the keys."""
    for key in keys:
        if not isinstance(key, str):
            return (), f"key {key!r} is not a string"
    tag_keys = tuple(key for key in keys if key.startswith(tags.PREFIX))
    for key in tag_keys:
        if key not in tags.TAGS:
            return (), f"tag {key} is unknown, expected one of {', '.join(tags.TAGS)}; {_FIX}"
    return tag_keys, None


@functools.lru_cache(maxsize=4096)
def _link_path(link_group: str) -> tuple[str, ...]:
    """Split a tag into the link group and its partitions; empty if one of the names is empty."""
    path = tuple(link_group.split(tags.LINK_SEPARATOR))
    return path if all(path) else ()


def _name(raw: Mapping[str, Any]) -> str:
    return str(raw.get("address") or f"{raw.get('vendor_id')}:{raw.get('product_id')}")


def _is_true(value: Any) -> bool:
    return isinstance(value, str) and value.lower() in ("true", "1", "yes", "on", "t", "y")
