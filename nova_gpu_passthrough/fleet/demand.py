# SPDX-License-Identifier: Apache-2.0
"""What the servers of a flavor need, as Nova reads it from the flavor.

The rules are those of ``ResourceRequest`` in nova/scheduler/utils.py and of nova/pci/request.py
(Nova 31 to 34), for an image without properties of its own and a server that boots from an image.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import os_resource_classes

from nova_gpu_passthrough import extra_specs as gpu_extra_specs
from nova_gpu_passthrough.fleet.aliases import Alias
from nova_gpu_passthrough.fleet.offers import Kind as DeviceKind
from nova_gpu_passthrough.nova_rules import guest_topology as guests
from nova_gpu_passthrough.nova_rules.guest_topology import (
    CpuPolicy,
    Guest,
    GuestError,
    ThreadPolicy,
)
from nova_gpu_passthrough.nova_rules.host_capacity import Kind, Needs, Query
from nova_gpu_passthrough.topology.model import MAX_GPUS, Demand, GpuRequest, NumaPolicy

ALIAS = "pci_passthrough:alias"
_AFFINITY = "hw:pci_numa_affinity_policy"
_GRANULAR = re.compile(r"^(resources|trait)([a-zA-Z0-9_-]{1,64})?:(.*)$")
_DISABLED = "COMPUTE_STATUS_DISABLED"
_HYPERTHREADING = "HW_CPU_HYPERTHREADING"
#: Traits that Nova requires for the value of an extra spec.
_TRAITS = {
    ("hw:maxphysaddr_mode", "passthrough"): "COMPUTE_ADDRESS_SPACE_PASSTHROUGH",
    ("hw:maxphysaddr_mode", "emulate"): "COMPUTE_ADDRESS_SPACE_EMULATED",
    ("os:secure_boot", "required"): "COMPUTE_SECURITY_UEFI_SECURE_BOOT",
    ("hw:tpm_version", "1.2"): "COMPUTE_SECURITY_TPM_1_2",
    ("hw:tpm_version", "2.0"): "COMPUTE_SECURITY_TPM_2_0",
    (_AFFINITY, "socket"): "COMPUTE_SOCKET_PCI_NUMA_AFFINITY",
}
_TPM_MODELS = {"tpm-tis": "COMPUTE_SECURITY_TPM_TIS", "tpm-crb": "COMPUTE_SECURITY_TPM_CRB"}
#: What hosts are also chosen by, and is not looked at here.
_NOT_MODELLED = re.compile(
    r"hw:pmem|hw:mem_encryption|hw:virtio_packed_ring|hw:ephemeral_encryption|"
    r"accel:device_profile|capabilities:.*|aggregate_instance_extra_specs:.*|"
    r"(resources|trait)[a-zA-Z0-9_-]+:.*|(?!hide_hypervisor_id)[^:]+"
)
#: The order in which people look at them.
_ORDER = {name: number for number, name in enumerate(("VCPU", "PCPU", "MEMORY_MB", "DISK_GB"))}


class FlavorError(ValueError):
    """Nova refuses all servers of the flavor; the message says why, and how to fix it."""


@dataclass(frozen=True)
class Size:
    """What a flavor is besides its extra specs."""

    vcpus: int
    ram_mib: int
    disk_gib: int = 0
    ephemeral_gib: int = 0
    swap_mib: int = 0

    @property
    def local_disk_gib(self) -> int:
        """All of its disks; swap takes whole GiB."""
        return self.disk_gib + self.ephemeral_gib + -(-self.swap_mib // 1024)


@dataclass(frozen=True)
class Asked:
    """What the servers of a flavor need."""

    needs: Needs
    #: GPUs of a server, and their models.
    gpus: int
    models: tuple[str, ...]
    #: What of the flavor is not looked at, one sentence each.
    notes: tuple[str, ...] = ()
    #: Why GpuPassthroughFilter refuses the server on every host.
    invalid: str | None = None


def by_name(aliases: Iterable[Alias]) -> Mapping[str, Alias]:
    """Aliases by their names."""
    return {alias.name: alias for alias in aliases}


def alias_counts(extra_specs: Mapping[str, str]) -> tuple[tuple[str, int], ...]:
    """Names of aliases and how many devices of each, in the flavor's order.

    :raises FlavorError: if Nova cannot read it
    """
    text = extra_specs.get(ALIAS)
    if text is None:
        return ()
    counts = []
    for part in text.split(","):
        name, colon, number = part.partition(":")
        if not colon or not re.fullmatch(r"\s*\d+\s*", number):
            raise FlavorError(f"{ALIAS} is {text!r}, expected NAME:COUNT[,NAME:COUNT...]")
        counts.append((name.strip(), int(number)))
    return tuple(counts)


def asks_for_gpus(extra_specs: Mapping[str, str], aliases: Mapping[str, Alias]) -> bool:
    """Whether a flavor asks for GPUs by an alias."""
    try:
        counts = alias_counts(extra_specs)
    except FlavorError:
        return False
    return any(name in aliases and aliases[name].kind is DeviceKind.GPU for name, _ in counts)


def read(size: Size, extra_specs: Mapping[str, str], aliases: Mapping[str, Alias]) -> Asked:
    """What a flavor's servers need.

    :raises FlavorError: if Nova refuses the flavor, or it names an alias that the fleet does not
        have
    """
    try:
        guest = guests.read(size.vcpus, size.ram_mib, extra_specs)
    except GuestError as error:
        raise FlavorError(str(error)) from None
    demands = list(_demands(extra_specs, aliases))
    invalid = None
    wishes = gpu_extra_specs.GpuExtraSpecs()
    try:
        wishes = gpu_extra_specs.parse(extra_specs)
    except gpu_extra_specs.InvalidExtraSpecError as error:
        invalid = str(error)
    gpus = tuple(demand for demand, alias in demands if alias.kind is DeviceKind.GPU)
    request = GpuRequest(
        gpus,
        tuple(demand for demand, _ in demands if demand not in gpus),
        wishes.link,
        wishes.switch,
        wishes.numa,
        wishes.companions,
        guest.cells,
    )
    needs = Needs(
        request,
        guest,
        tuple((demand.id, Kind(alias.resource_class)) for demand, alias in demands),
        _query(size, extra_specs, guest),
        _fallback(size, extra_specs, guest),
    )
    return Asked(
        needs,
        request.count,
        tuple(dict.fromkeys(a.model for _, a in demands if a.kind is DeviceKind.GPU)),
        tuple(
            f"extra spec {key} is not looked at"
            for key in sorted(extra_specs)
            if _NOT_MODELLED.fullmatch(key)
        ),
        invalid,
    )


def _demands(
    extra_specs: Mapping[str, str], aliases: Mapping[str, Alias]
) -> Iterator[tuple[Demand, Alias]]:
    affinity = extra_specs.get(_AFFINITY)
    for index, (name, count) in enumerate(alias_counts(extra_specs)):
        alias = aliases.get(name)
        if alias is None:
            known = ", ".join(sorted(aliases)) or "none"
            raise FlavorError(
                f"{ALIAS} names {name}, which is no alias of the fleet; expected one of: {known}"
            )
        if count > MAX_GPUS or not count:
            raise FlavorError(
                f"{ALIAS} asks for {count} devices of {name}, expected 1 to {MAX_GPUS}"
            )
        try:
            policy = NumaPolicy(affinity or alias.numa_policy)
        except ValueError:
            policies = ", ".join(policy.value for policy in NumaPolicy)
            raise FlavorError(f"{_AFFINITY} is {affinity!r}, expected one of: {policies}") from None
        yield Demand(f"{index}-{name}", name, count, policy), alias


def _query(size: Size, extra_specs: Mapping[str, str], guest: Guest) -> Query:
    """What Nova asks Placement for first."""
    resources, required, forbidden = _explicit(extra_specs)
    policy = extra_specs.get("hw:cpu_policy")
    if policy in (CpuPolicy.DEDICATED, CpuPolicy.MIXED):
        resources["PCPU"] = guest.pinned_cpus
        if policy == CpuPolicy.MIXED:
            resources["VCPU"] = sum(cell.shared_cpus for cell in guest.cells)
    threads = extra_specs.get("hw:cpu_thread_policy")
    if threads == ThreadPolicy.ISOLATE:
        forbidden.add(_HYPERTHREADING)
    elif threads == ThreadPolicy.REQUIRE:
        required.add(_HYPERTHREADING)
    return _completed(size, extra_specs, resources, required, forbidden)


def _fallback(size: Size, extra_specs: Mapping[str, str], guest: Guest) -> Query | None:
    """What it asks for then, for the sake of hosts that report no PCPU."""
    if extra_specs.get("hw:cpu_policy") != CpuPolicy.DEDICATED:
        return None
    return _completed(size, extra_specs, *_explicit(extra_specs))


def _explicit(
    extra_specs: Mapping[str, str],
) -> tuple[dict[str, int], set[str], set[str]]:
    """Amounts, required and forbidden traits that the flavor names itself."""
    resources: dict[str, int] = {}
    required: set[str] = set()
    forbidden: set[str] = set()
    for key, value in extra_specs.items():
        found = _GRANULAR.match(key)
        if not found or found[2]:
            continue
        if found[1] == "resources":
            # Nova passes over what is no number or no resource class.
            name = found[3]
            known = name.startswith("CUSTOM_") or name in os_resource_classes.STANDARDS
            if known and re.fullmatch(r"\s*\d+\s*", value):
                resources[found[3]] = int(value)
        elif value == "required":
            required.add(found[3])
        elif value == "forbidden":
            forbidden.add(found[3])
    return resources, required, forbidden


def _completed(
    size: Size,
    extra_specs: Mapping[str, str],
    resources: dict[str, int],
    required: set[str],
    forbidden: set[str],
) -> Query:
    """With what follows from the flavor's size and other extra specs."""
    if "VCPU" not in resources and "PCPU" not in resources:
        resources["VCPU"] = size.vcpus
    resources.setdefault("MEMORY_MB", size.ram_mib)
    resources.setdefault("DISK_GB", size.local_disk_gib)
    required |= {trait for key, trait in _TRAITS.items() if extra_specs.get(key[0]) == key[1]}
    if "hw:tpm_version" in extra_specs:
        model = extra_specs.get("hw:tpm_model", "tpm-tis")
        required.add(_TPM_MODELS.get(model, _TPM_MODELS["tpm-tis"]))
    order = sorted(resources, key=lambda name: (_ORDER.get(name, len(_ORDER)), name))
    return Query(
        tuple((name, resources[name]) for name in order if resources[name]),
        frozenset(required),
        frozenset(forbidden | {_DISABLED}),
    )
