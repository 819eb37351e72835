# SPDX-License-Identifier: Apache-2.0
"""The NUMA topology of a guest, derived from the flavor as Nova does.

Restates ``numa_get_constraints`` in nova/virt/hardware.py for an image without
properties.
"""

import enum
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from oslo_utils import strutils

from nova_gpu_passthrough.topology.model import GuestCell

#: Nova's numbers for the page sizes ``small``, ``large`` and ``any`` (MEMPAGES_SMALL and others in
#: nova/virt/hardware.py).
SMALL, LARGE, ANY = -1, -2, -3
_PAGE_WORDS = {"small": SMALL, "large": LARGE, "any": ANY}
#: ``ImageMetaProps.NUMA_NODES_MAX`` in nova/objects/image_meta.py.
_MOST_CELLS = 128
_HYPERTHREADING = re.compile("trait([1-9][0-9]*)?:HW_CPU_HYPERTHREADING")
_T = TypeVar("_T")
_E = TypeVar("_E", bound=enum.StrEnum)


class GuestTopologyError(ValueError):
    """Nova refuses the flavor; the message names the extra spec and the reason."""


class CpuPolicy(enum.StrEnum):
    """The values of ``hw:cpu_policy``."""

    SHARED = "shared"
    DEDICATED = "dedicated"
    MIXED = "mixed"


class ThreadPolicy(enum.StrEnum):
    """The values of ``hw:cpu_thread_policy``."""

    PREFER = "prefer"
    ISOLATE = "isolate"
    REQUIRE = "require"


class EmulatorPolicy(enum.StrEnum):
    """The values of ``hw:emulator_threads_policy``."""

    SHARE = "share"
    ISOLATE = "isolate"


@dataclass(frozen=True, slots=True)
class GuestTopology:
    """The vCPUs, memory and NUMA cells of a guest."""

    vcpus: int
    memory_mib: int
    #: Empty if the guest has no NUMA topology.
    cells: tuple[GuestCell, ...] = ()
    cpu_policy: CpuPolicy | None = None
    thread_policy: ThreadPolicy | None = None
    #: KiB, `SMALL`, `LARGE` or `ANY`; None without ``hw:mem_page_size``.
    page_size: int | None = None
    #: Whether the emulator threads get a CPU in addition to those of the vCPUs.
    emulator_isolated: bool = False

    @property
    def pins(self) -> bool:
        """Return whether any vCPU is pinned."""
        return self.cpu_policy in (CpuPolicy.DEDICATED, CpuPolicy.MIXED)

    @property
    def pinned_cpus(self) -> int:
        """Return the number of host CPUs for this guest alone (PCPU), with emulator threads."""
        pinned = sum(cell.pinned_cpus for cell in self.cells)
        return pinned + int(self.emulator_isolated and self.pins)


def from_flavor(vcpus: int, memory_mib: int, extra_specs: Mapping[str, str]) -> GuestTopology:
    """Return the guest topology of a flavor.

    :raises GuestTopologyError: if Nova refuses the flavor
    """
    policy = _word(extra_specs, "hw:cpu_policy", CpuPolicy)
    threads = _word(extra_specs, "hw:cpu_thread_policy", ThreadPolicy)
    emulator = _word(extra_specs, "hw:emulator_threads_policy", EmulatorPolicy)
    realtime = _realtime(vcpus, extra_specs, emulator)
    dedicated = _dedicated_mask(vcpus, extra_specs)
    policy = _explicit_policy(vcpus, extra_specs, policy, emulator)
    threads = _explicit_threads(extra_specs, threads)
    pinned = _pinned(vcpus, policy, threads, emulator, realtime, dedicated)
    nodes = _node_count(extra_specs)
    page_size = _page_size(extra_specs)
    _check_locked(extra_specs)
    guest = GuestTopology(vcpus, memory_mib, emulator_isolated=emulator is EmulatorPolicy.ISOLATE)
    if not (nodes or page_size or extra_specs.get("hw:pmem") or pinned):
        return guest
    return GuestTopology(
        vcpus,
        memory_mib,
        _cells(vcpus, memory_mib, extra_specs, nodes or 1, pinned),
        policy,
        threads,
        page_size,
        guest.emulator_isolated,
    )


def parse_cpus(text: str) -> frozenset[int]:
    """Parse a list of CPUs such as ``0-3,^2`` (``parse_cpu_spec``).

    :raises ValueError: if the text is not a list of CPUs
    """
    included: set[int] = set()
    excluded: set[int] = set()
    for rule in filter(None, (part.strip() for part in text.split(","))):
        cpus = excluded if rule[0] == "^" else included
        low, dash, high = rule.removeprefix("^").partition("-")
        first, last = int(low), int(high if dash else low)
        if first > last:
            raise ValueError(text)
        cpus.update(range(first, last + 1))
    return frozenset(included - excluded)


def _word(extra_specs: Mapping[str, str], key: str, words: type[_E]) -> _E | None:
    value = extra_specs.get(key)
    if not value:
        return None
    try:
        return words(value)
    except ValueError:
        raise GuestTopologyError(
            f"{key} is {value!r}, expected one of: {', '.join(words)}"
        ) from None


def _mask(vcpus: int, key: str, text: str) -> frozenset[int]:
    """Parse a mask of vCPUs; one that starts with an exclusion excludes from all vCPUs."""
    whole = f"0-{vcpus - 1},{text}" if text.strip().startswith("^") else text
    return _parsed(parse_cpus, key, whole)


def _parsed(parse: Callable[[str], _T], key: str, text: str) -> _T:
    try:
        return parse(text)
    except ValueError:
        raise GuestTopologyError(f"{key} is {text!r}, which Nova cannot read") from None


def _realtime(
    vcpus: int, extra_specs: Mapping[str, str], emulator: EmulatorPolicy | None
) -> frozenset[int]:
    """Return the vCPUs that run in real time (``get_realtime_cpu_constraint``)."""
    if not strutils.bool_from_string(extra_specs.get("hw:cpu_realtime")):
        return frozenset()
    everything = frozenset(range(vcpus))
    key = "hw:cpu_realtime_mask"
    text = extra_specs.get(key)
    cpus = _mask(vcpus, key, text) if text else everything
    if not cpus or not cpus <= everything or (cpus == everything and not emulator):
        raise GuestTopologyError(
            f"{key} is {text!r}, expected some of the vCPUs 0 to {vcpus - 1}, not all of them "
            "unless hw:emulator_threads_policy is set"
        )
    return cpus


def _dedicated_mask(vcpus: int, extra_specs: Mapping[str, str]) -> frozenset[int]:
    """Return the vCPUs of ``hw:cpu_dedicated_mask`` (``get_dedicated_cpu_constraint``)."""
    key = "hw:cpu_dedicated_mask"
    text = extra_specs.get(key)
    if not text:
        return frozenset()
    cpus, everything = _mask(vcpus, key, text), frozenset(range(vcpus))
    if not cpus or not everything - cpus or not cpus <= everything:
        raise GuestTopologyError(
            f"{key} is {text!r}, expected some of the vCPUs 0 to {vcpus - 1}, not all"
        )
    return cpus


def _explicit_policy(
    vcpus: int,
    extra_specs: Mapping[str, str],
    policy: CpuPolicy | None,
    emulator: EmulatorPolicy | None,
) -> CpuPolicy | None:
    """Return the CPU policy with ``resources:PCPU`` and ``resources:VCPU`` applied."""
    amounts = {"VCPU": 0, "PCPU": 0}
    for key, value in extra_specs.items():
        # Like Nova, compare only the beginning of the key.
        found = re.match(r"resources([1-9][0-9]*)?:([VP]CPU)", key)
        if found and re.fullmatch(r"\s*[+-]?\d+\s*", value):
            amounts[found[2]] += int(value)
    shared, pinned = amounts["VCPU"], amounts["PCPU"]
    if policy and (shared or pinned):
        raise GuestTopologyError(
            "hw:cpu_policy excludes resources:VCPU and resources:PCPU; keep one"
        )
    if shared and pinned:
        raise GuestTopologyError("resources:VCPU and resources:PCPU exclude each other; keep one")
    if pinned:
        expected = vcpus + int(emulator is EmulatorPolicy.ISOLATE)
        if pinned != expected:
            raise GuestTopologyError(
                f"resources:PCPU is {pinned}, expected {expected} for {vcpus} vCPUs"
            )
        return CpuPolicy.DEDICATED
    return CpuPolicy.SHARED if shared else policy


def _explicit_threads(
    extra_specs: Mapping[str, str], threads: ThreadPolicy | None
) -> ThreadPolicy | None:
    """Return the thread policy with the trait HW_CPU_HYPERTHREADING applied."""
    trait = next((v for k, v in extra_specs.items() if _HYPERTHREADING.match(k)), None)
    if threads and trait:
        raise GuestTopologyError(
            "hw:cpu_thread_policy and trait:HW_CPU_HYPERTHREADING exclude each other"
        )
    by_trait = {"forbidden": ThreadPolicy.ISOLATE, "required": ThreadPolicy.REQUIRE}
    return by_trait.get(trait or "", threads)


def _pinned(
    vcpus: int,
    policy: CpuPolicy | None,
    threads: ThreadPolicy | None,
    emulator: EmulatorPolicy | None,
    realtime: frozenset[int],
    dedicated: frozenset[int],
) -> frozenset[int]:
    """Return the vCPUs to pin, after the checks of Nova's API."""
    if policy in (CpuPolicy.SHARED, None):
        words = {
            "hw:cpu_thread_policy (or trait:HW_CPU_HYPERTHREADING)": threads,
            "hw:emulator_threads_policy=isolate": emulator is EmulatorPolicy.ISOLATE,
            "hw:cpu_dedicated_mask": dedicated,
            "hw:cpu_realtime": realtime,
        }
        for word, given in words.items():
            if given:
                raise GuestTopologyError(f"{word} needs hw:cpu_policy=dedicated or mixed")
        return frozenset()
    if policy is CpuPolicy.DEDICATED:
        if dedicated:
            raise GuestTopologyError("hw:cpu_dedicated_mask needs hw:cpu_policy=mixed")
        return frozenset(range(vcpus))
    if bool(realtime) == bool(dedicated):
        raise GuestTopologyError(
            "hw:cpu_policy=mixed needs either hw:cpu_dedicated_mask or hw:cpu_realtime_mask"
        )
    return dedicated or realtime


def _node_count(extra_specs: Mapping[str, str]) -> int | None:
    value = extra_specs.get("hw:numa_nodes")
    if not value:
        return None
    if not re.fullmatch(r"\d+", value) or int(value) < 1:
        raise GuestTopologyError(f"hw:numa_nodes is {value!r}, expected at least 1")
    return int(value)


def _page_size(extra_specs: Mapping[str, str]) -> int | None:
    key = "hw:mem_page_size"
    value = extra_specs.get(key)
    if not value:
        return None
    if value in _PAGE_WORDS:
        return _PAGE_WORDS[value]
    if value.isdigit():
        return int(value)
    return _parsed(_bytes, key, value) // 1024


def _bytes(text: str) -> int:
    return int(strutils.string_to_bytes(text, return_int=True))


def _check_locked(extra_specs: Mapping[str, str]) -> None:
    locked = strutils.bool_from_string(extra_specs.get("hw:locked_memory"))
    if locked and not extra_specs.get("hw:mem_page_size"):
        raise GuestTopologyError("hw:locked_memory needs hw:mem_page_size")


def _cells(
    vcpus: int,
    memory_mib: int,
    extra_specs: Mapping[str, str],
    nodes: int,
    pinned: frozenset[int],
) -> tuple[GuestCell, ...]:
    cpus = _by_node(extra_specs, "hw:numa_cpus", parse_cpus)
    memory = _by_node(extra_specs, "hw:numa_mem", int)
    if not cpus and not memory:
        if vcpus % nodes or memory_mib % nodes:
            raise GuestTopologyError(
                f"{vcpus} vCPUs and {memory_mib} MiB cannot be divided by hw:numa_nodes={nodes}"
            )
        size = vcpus // nodes
        cpus = [frozenset(range(node * size, (node + 1) * size)) for node in range(nodes)]
        memory = [memory_mib // nodes] * nodes
    elif len(cpus) != nodes or len(memory) != nodes:
        raise GuestTopologyError(
            f"hw:numa_cpus.N and hw:numa_mem.N must be given for {nodes} NUMA nodes"
        )
    elif sorted(cpu for cell in cpus for cpu in cell) != list(range(vcpus)):
        raise GuestTopologyError(
            f"hw:numa_cpus.N must name each of the vCPUs 0 to {vcpus - 1} once"
        )
    elif sum(memory) != memory_mib:
        raise GuestTopologyError(
            f"hw:numa_mem.N add up to {sum(memory)} MiB, expected {memory_mib} MiB"
        )
    return tuple(
        GuestCell(len(cell - pinned), len(cell & pinned), mib)
        for cell, mib in zip(cpus, memory, strict=True)
    )


def _by_node(extra_specs: Mapping[str, str], key: str, parse: Callable[[str], _T]) -> list[_T]:
    """Return the values of ``KEY.0``, ``KEY.1`` and so on, up to the first missing key."""
    values: list[_T] = []
    while (name := f"{key}.{len(values)}") in extra_specs and len(values) < _MOST_CELLS:
        values.append(_parsed(parse, name, extra_specs[name]))
    return values
