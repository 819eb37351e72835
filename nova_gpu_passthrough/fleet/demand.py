# SPDX-License-Identifier: Apache-2.0
"""The resources and devices that the servers of a flavor request, as Nova reads the flavor.

Restates ``ResourceRequest`` in nova/scheduler/utils.py and ``_translate_alias_to_requests`` in
nova/pci/request.py, for an image without properties and a server that boots from an image.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import os_resource_classes

from nova_gpu_passthrough import extra_specs as gpu_extra_specs
from nova_gpu_passthrough.fleet.aliases import Alias
from nova_gpu_passthrough.fleet.offers import DeviceKind
from nova_gpu_passthrough.nova_rules import alias_string, guest_topology, placement_extra_specs
from nova_gpu_passthrough.nova_rules.alias_string import (
    EXTRA_SPEC,
    AliasCount,
    InvalidAliasStringError,
)
from nova_gpu_passthrough.nova_rules.guest_topology import (
    CpuPolicy,
    GuestTopology,
    GuestTopologyError,
    ThreadPolicy,
)
from nova_gpu_passthrough.nova_rules.host_capacity import DeviceClass, PlacementQuery, ServerDemand
from nova_gpu_passthrough.topology.model import MAX_GPUS, GpuRequest, NumaPolicy, PciRequest

_AFFINITY = "hw:pci_numa_affinity_policy"
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
#: Extra specs that Nova selects hosts by and that are ignored here; ``nova_rules.filters`` has
#: those that nova-scheduler's filters compare.
_NOT_MODELLED = re.compile(
    r"hw:pmem|hw:mem_encryption|hw:virtio_packed_ring|hw:ephemeral_encryption|"
    r"accel:device_profile|(resources|trait)[a-zA-Z0-9_-]+:.*"
)
#: The order of resource classes in messages.
_ORDER = {name: number for number, name in enumerate(("VCPU", "PCPU", "MEMORY_MB", "DISK_GB"))}


class FlavorError(ValueError):
    """Nova refuses all servers of a flavor; the message says why and how to fix the flavor."""


@dataclass(frozen=True)
class FlavorSize:
    """The size of a flavor: everything but its extra specs."""

    vcpus: int
    ram_mib: int
    disk_gib: int = 0
    ephemeral_gib: int = 0
    swap_mib: int = 0

    @property
    def local_disk_gib(self) -> int:
        """Return the size of all disks; swap is rounded up to GiB."""
        return self.disk_gib + self.ephemeral_gib + -(-self.swap_mib // 1024)


@dataclass(frozen=True)
class FlavorDemand:
    """The resources and devices that a server of a flavor requests."""

    server_demand: ServerDemand
    #: The number of GPUs.
    gpus: int
    #: The models of these GPUs.
    models: tuple[str, ...]
    #: Extra specs that are ignored, one sentence each.
    notes: tuple[str, ...] = ()
    #: The reason for which GpuPassthroughFilter refuses the server on every host.
    invalid: str | None = None


def by_name(aliases: Iterable[Alias]) -> Mapping[str, Alias]:
    """Return aliases by name."""
    return {alias.name: alias for alias in aliases}


def requests_gpus(extra_specs: Mapping[str, str], aliases: Mapping[str, Alias]) -> bool:
    """Check whether a flavor requests GPUs by an alias."""
    try:
        counts = _alias_counts(extra_specs)
    except FlavorError:
        return False
    return any(name in aliases and aliases[name].kind is DeviceKind.GPU for name, _ in counts)


def read(
    size: FlavorSize, extra_specs: Mapping[str, str], aliases: Mapping[str, Alias]
) -> FlavorDemand:
    """Read the demand of a server from its flavor.

    :raises FlavorError: if Nova refuses the flavor, or the fleet does not have one of its aliases
    """
    try:
        guest = guest_topology.from_flavor(size.vcpus, size.ram_mib, extra_specs)
    except GuestTopologyError as error:
        raise FlavorError(str(error)) from None
    pci_requests = list(_pci_requests(extra_specs, aliases))
    invalid = None
    gpu_specs = gpu_extra_specs.GpuExtraSpecs()
    try:
        gpu_specs = gpu_extra_specs.parse(extra_specs)
    except gpu_extra_specs.InvalidExtraSpecError as error:
        invalid = str(error)
    gpus = tuple(request for request, alias in pci_requests if alias.kind is DeviceKind.GPU)
    gpu_request = GpuRequest(
        gpus,
        tuple(request for request, _ in pci_requests if request not in gpus),
        gpu_specs.link,
        gpu_specs.switch,
        gpu_specs.numa,
        gpu_specs.companions,
        guest.cells,
    )
    server_demand = ServerDemand(
        gpu_request,
        guest,
        tuple((request.id, DeviceClass(alias.resource_class)) for request, alias in pci_requests),
        _query(size, extra_specs, guest),
        _fallback(size, extra_specs, guest),
    )
    return FlavorDemand(
        server_demand,
        gpu_request.count,
        tuple(dict.fromkeys(a.model for _, a in pci_requests if a.kind is DeviceKind.GPU)),
        tuple(
            f"extra spec {key} is ignored"
            for key in sorted(extra_specs)
            if _NOT_MODELLED.fullmatch(key)
        ),
        invalid,
    )


def _alias_counts(extra_specs: Mapping[str, str]) -> tuple[AliasCount, ...]:
    """Return the aliases of a flavor in its order.

    :raises FlavorError: if Nova refuses the value
    """
    try:
        return alias_string.read(extra_specs)
    except InvalidAliasStringError as error:
        value = extra_specs[EXTRA_SPEC]
        raise FlavorError(
            f"{EXTRA_SPEC} is {value!r}, expected NAME:COUNT[,NAME:COUNT...]: {error}"
        ) from None


def _pci_requests(
    extra_specs: Mapping[str, str], aliases: Mapping[str, Alias]
) -> Iterator[tuple[PciRequest, Alias]]:
    affinity = extra_specs.get(_AFFINITY)
    for index, (name, count) in enumerate(_alias_counts(extra_specs)):
        alias = aliases.get(name)
        if alias is None:
            known = ", ".join(sorted(aliases)) or "none"
            raise FlavorError(
                f"{EXTRA_SPEC} names {name}, and the fleet has no such alias; expected one of: "
                f"{known}"
            )
        if count > MAX_GPUS or not count:
            raise FlavorError(
                f"{EXTRA_SPEC} requests {count} devices of {name}, expected 1 to {MAX_GPUS}"
            )
        try:
            policy = NumaPolicy(affinity or alias.numa_policy)
        except ValueError:
            policies = ", ".join(policy.value for policy in NumaPolicy)
            raise FlavorError(f"{_AFFINITY} is {affinity!r}, expected one of: {policies}") from None
        yield PciRequest(f"{index}-{name}", name, count, policy), alias


def _query(
    size: FlavorSize, extra_specs: Mapping[str, str], guest: GuestTopology
) -> PlacementQuery:
    """Return the first query that Nova sends to Placement."""
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


def _fallback(
    size: FlavorSize, extra_specs: Mapping[str, str], guest: GuestTopology
) -> PlacementQuery | None:
    """Return the second query, for hosts that report no PCPU; None if Nova sends none."""
    if extra_specs.get("hw:cpu_policy") != CpuPolicy.DEDICATED:
        return None
    return _completed(size, extra_specs, *_explicit(extra_specs))


def _explicit(
    extra_specs: Mapping[str, str],
) -> tuple[dict[str, int], set[str], set[str]]:
    """Return the amounts and the required and forbidden traits that the flavor names itself."""
    resources: dict[str, int] = {}
    required: set[str] = set()
    forbidden: set[str] = set()
    for one in placement_extra_specs.resources(extra_specs):
        # Nova ignores a value that is not a number, and an unknown resource class.
        name = one.name
        known = os_resource_classes.is_custom(name) or name in os_resource_classes.STANDARDS
        if not one.group and known and re.fullmatch(r"\s*\d+\s*", one.value):
            resources[name] = int(one.value)
    for one in placement_extra_specs.traits(extra_specs):
        if not one.group and one.value == "required":
            required.add(one.name)
        elif not one.group and one.value == "forbidden":
            forbidden.add(one.name)
    return resources, required, forbidden


def _completed(
    size: FlavorSize,
    extra_specs: Mapping[str, str],
    resources: dict[str, int],
    required: set[str],
    forbidden: set[str],
) -> PlacementQuery:
    """Complete a query by what follows from the flavor's size and its other extra specs."""
    if "VCPU" not in resources and "PCPU" not in resources:
        resources["VCPU"] = size.vcpus
    resources.setdefault("MEMORY_MB", size.ram_mib)
    resources.setdefault("DISK_GB", size.local_disk_gib)
    required |= {trait for key, trait in _TRAITS.items() if extra_specs.get(key[0]) == key[1]}
    if "hw:tpm_version" in extra_specs:
        model = extra_specs.get("hw:tpm_model", "tpm-tis")
        required.add(_TPM_MODELS.get(model, _TPM_MODELS["tpm-tis"]))
    order = sorted(resources, key=lambda name: (_ORDER.get(name, len(_ORDER)), name))
    return PlacementQuery(
        tuple((name, resources[name]) for name in order if resources[name]),
        frozenset(required),
        frozenset(forbidden | {_DISABLED}),
    )
