# SPDX-License-Identifier: Apache-2.0
"""Options of nova-scheduler's ``[gpu_passthrough]`` section."""

import logging
import math
from pathlib import Path
from typing import Any

from oslo_config import cfg, types

from nova_gpu_passthrough.errors import UserError
from nova_gpu_passthrough.policies import base as policies
from nova_gpu_passthrough.policies import mix

LOG = logging.getLogger(__name__)

GROUP = cfg.OptGroup(
    "gpu_passthrough",
    title="GPU passthrough",
    help="""
Options of GpuPassthroughFilter and GpuPassthroughWeigher, read by nova-scheduler: how servers with
GPUs are placed, and how GPU hosts are protected from servers without GPUs.
""",
)

#: Host aggregates override options of the same name by metadata keys with this prefix.
AGGREGATE_PREFIX = "gpu_passthrough:"


class _ExplainedType(types.ConfigType):
    """An option type whose errors name the invalid value and what is expected.

    The errors of oslo.config's own types do not.
    """

    def __init__(self, base_type: types.ConfigType, expected: str) -> None:
        super().__init__(base_type.type_name)
        self.base_type = base_type
        self.expected = expected

    def __call__(self, value: Any) -> Any:
        try:
            result = self.base_type(value)
        except ValueError:
            raise ValueError(f"it is {value!r}, expected {self.expected}") from None
        numbers = result.values() if isinstance(result, dict) else (result,)
        if not all(math.isfinite(n) for n in numbers if isinstance(n, float)):
            raise ValueError(f"it is {value!r}, expected {self.expected}")
        return result

    def _formatter(self, value: Any) -> Any:
        return self.base_type._formatter(value)

    def __getattr__(self, name: str) -> Any:
        # oslo-config-generator reads the bounds.
        if name in ("base_type", "expected"):
            raise AttributeError(name)
        return getattr(self.base_type, name)


_COUNT = _ExplainedType(types.Integer(min=0), "a whole number of 0 or more")
_FLAG = _ExplainedType(types.Boolean(), "true or false")

OPTS = [
    cfg.ListOpt(
        "aliases",
        default=[],
        help="""
Names of PCI aliases that request GPUs.

An alias is recognized without being listed here if its vendor_id and product_id are in the
catalogue of GPU models, or if the devices that match it have the tag ``gpu_model`` in
``[pci] device_spec``. List only aliases for other GPUs.

Example: ``aliases = research-gpu,render-gpu``
""",
    ),
    cfg.ListOpt(
        "resource_classes",
        default=[],
        help="""
Placement resource classes of GPUs. An alias with one of them as its ``resource_class`` requests
GPUs.

Example: ``resource_classes = CUSTOM_GPU_H100,PGPU``
""",
    ),
    cfg.StrOpt(
        "policy",
        default="pack",
        help="""
The policy that ranks the hosts that fit a GPU request: the name of an entry point in the namespace
``nova_gpu_passthrough.policies``.

* ``pack``: fill hosts up, so that whole hosts stay free for large requests.
* ``spread``: distribute the load evenly.
* ``fragmentation``: keep as many GPUs as possible usable for the mix of requested servers. The
  policy takes vCPUs, RAM, NUMA nodes and link groups into account, and ranks hosts for servers
  without GPUs as well.
""",
    ),
    cfg.StrOpt(
        "mix_file",
        help="""
A file with the mix of servers for which the policy ``fragmentation`` keeps GPUs usable.
``nova-gpu mix`` writes it from the servers of the cloud. The scheduler reads it again when it
changes. Without a file, the scheduler starts with an empty mix and learns it from the requests.

Example: ``mix_file = /etc/nova/gpu-mix.yaml``
""",
    ),
    cfg.Opt(
        "mix_half_life",
        type=_ExplainedType(types.Float(min=0.0), "a number of 0 or more"),
        default=3000.0,
        help="""
How fast the policy ``fragmentation`` learns the mix from requests: after this number of further
servers with GPUs, a server counts half. Each nova-scheduler worker learns separately and loses what
it has learned when it stops. The mix of ``mix_file`` is the start and fades at the same rate. 0: do
not learn from requests, use the mix of the file only.
""",
    ),
    cfg.Opt(
        "weight_multiplier",
        type=_ExplainedType(types.Float(min=0.0), "a number of 0 or more"),
        default=10000.0,
        help="""
Multiplier of the GPU weigher, whose weights are between 0 and 1.

The default is larger than the sum of Nova's resource weighers (RAM, CPU, disk, PCI, ...), which
spread servers and so strand GPUs. It is smaller than the weighers that keep servers away from
failing hosts and from other cells (``build_failure_weight_multiplier``,
``cross_cell_move_weight_multiplier``: 1000000). 0 disables the weigher.

Host aggregates override it by the metadata key ``gpu_passthrough:weight_multiplier``.
""",
    ),
    cfg.Opt(
        "max_candidates",
        type=_ExplainedType(types.Integer(min=1, max=64), "a whole number from 1 to 64"),
        default=8,
        help="""
Maximum number of device choices per host that the filter leaves to the filters after it.

More than one is needed only for servers with a NUMA topology: NUMATopologyFilter decides on which
NUMA nodes the vCPUs and the memory fit, and needs several milliseconds per choice. A value above
the number of sets of NUMA nodes that can hold the guest has no effect; sets on which the guest does
not fit by Nova's rules do not count.
""",
    ),
    cfg.Opt(
        "randomize_equal_choices",
        type=_FLAG,
        default=True,
        help="""
Select at random among equally good sets of devices, so that concurrent schedulers rarely choose the
same GPUs. If false, the set with the lowest PCI addresses is selected, which is repeatable.
""",
    ),
    cfg.Opt(
        "only_gpu_servers",
        type=_FLAG,
        default=False,
        help="""
Reserve GPU hosts for servers with GPUs: refuse other servers on every host with free GPUs in its
PCI pools, now or at any time since this scheduler started.

A scheduler that was started while all GPUs of a host were in use does not know that host as a GPU
host. To avoid this, put GPU hosts into an aggregate with the metadata key
``gpu_passthrough:only_gpu_servers`` set to ``true``. ``false`` there exempts the hosts of an
aggregate from this option. If a host is in several aggregates, ``true`` takes precedence.
""",
    ),
    cfg.Opt(
        "reserved_vcpus_per_gpu",
        type=_COUNT,
        default=0,
        help="""
vCPUs on shared CPUs to reserve for every free GPU of a host: a server without GPUs whose vCPUs are
not pinned is refused if it would leave fewer. ``[DEFAULT] cpu_allocation_ratio`` applies. For GPU
flavors with pinned CPUs, see ``reserved_pcpus_per_gpu``.

Example: ``reserved_vcpus_per_gpu = 12`` on hosts with 8 GPUs and 112 CPUs, whose GPU flavors have
12 vCPUs per GPU.

Host aggregates override it by the metadata key ``gpu_passthrough:reserved_vcpus_per_gpu``. If a
host is in several aggregates, the largest value applies.
""",
    ),
    cfg.Opt(
        "reserved_pcpus_per_gpu",
        type=_COUNT,
        default=0,
        help="""
Dedicated CPUs to reserve for every free GPU of a host: a server without GPUs whose CPUs are pinned
is refused if it would leave fewer.

Example: ``reserved_pcpus_per_gpu = 12`` for GPU flavors with ``hw:cpu_policy = dedicated`` and 12
vCPUs per GPU.

Host aggregates override it by the metadata key ``gpu_passthrough:reserved_pcpus_per_gpu``. If a
host is in several aggregates, the largest value applies.
""",
    ),
    cfg.Opt(
        "reserved_ram_mib_per_gpu",
        type=_COUNT,
        default=0,
        help="""
RAM in MiB to reserve for every free GPU of a host: a server without GPUs is refused if it would
leave less. The RAM allocation ratio does not apply, since all memory of a server with a passthrough
device is pinned.

Example: ``reserved_ram_mib_per_gpu = 131072`` reserves 128 GiB for each free GPU.

Host aggregates override it by the metadata key ``gpu_passthrough:reserved_ram_mib_per_gpu``. If a
host is in several aggregates, the largest value applies.
""",
    ),
    cfg.Opt(
        "avoid_gpu_hosts",
        type=_ExplainedType(types.Float(min=0.0, max=1.0), "a number from 0 to 1"),
        default=1.0,
        help="""
How strongly the weigher keeps servers without GPUs away from hosts with free GPUs, from 0 (not at
all) to 1. A host gets a lower weight the more free GPUs it has and the more valuable they are; with
the policy ``fragmentation``, the more GPUs the server would make unusable. The order of hosts
without free GPUs is left to the other weighers.
""",
    ),
    cfg.Opt(
        "gpu_values",
        type=_ExplainedType(types.Dict(types.Float(min=0.0)), "comma-separated model:number pairs"),
        default={},
        help="""
Values of GPU models for ``avoid_gpu_hosts`` and the policy ``fragmentation``. They replace the
values of the catalogue (T4 has 1, L40S 5, A100 8, H100 18, B200 30). Model names are those of the
catalogue or of the tag ``gpu_model``.

Example: ``gpu_values = A100-SXM-80GB:12,research-card:3``
""",
    ),
]


class ConfigError(ValueError):
    """An option has an invalid value; the message is one sentence for the operator."""


def register_opts(conf: cfg.ConfigOpts) -> None:
    """Register the options with ``conf``; more than once is harmless."""
    conf.register_group(GROUP)
    conf.register_opts(OPTS, group=GROUP)


def list_opts() -> list[tuple[cfg.OptGroup, list[cfg.Opt]]]:
    """Return the options for oslo-config-generator."""
    return [(GROUP, OPTS)]


def load_or_exit(conf: cfg.ConfigOpts) -> policies.Policy:
    """Register and check the options when nova-scheduler starts, and return the policy.

    :raises SystemExit: if a value is invalid, after one line in the log: a scheduler with other
        rules than the operator's does more harm than one that does not start
    """
    register_opts(conf)
    try:
        return check(conf)
    except ConfigError as error:
        problem = str(error)
    # Outside the except block: oslo.log would append the exception to the line.
    LOG.critical("Invalid configuration of nova-scheduler: %s", problem)
    raise SystemExit(2)


def check(conf: cfg.ConfigOpts) -> policies.Policy:
    """Read every option once, so that an invalid value shows at start, not at the first request.

    :returns: the policy that ``[gpu_passthrough] policy`` names
    :raises ConfigError: if a value is invalid
    """
    section = conf[GROUP.name]
    for opt in OPTS:
        try:
            value = section[opt.dest]
        except ValueError as error:
            # oslo.config wraps the message of _ExplainedType into one about its own objects.
            problem = error.__context__ or error
            raise ConfigError(f"[{GROUP.name}] {opt.name}: {problem}") from error
        if isinstance(opt, cfg.ListOpt) and "" in (item.strip() for item in value):
            raise ConfigError(
                f"[{GROUP.name}] {opt.name}: it is {','.join(value)!r} with an empty item, "
                "expected comma-separated names"
            )
    try:
        policy = policies.load(section.policy)
    except policies.UnknownPolicyError as error:
        raise ConfigError(f"[{GROUP.name}] policy: {error}") from error
    settings = policy_settings(section)
    try:
        if isinstance(policy, policies.HostPolicy):
            policy.configure(settings)
        elif settings.mix_file:
            mix.load(settings.mix_file)
    except UserError as error:
        raise ConfigError(f"[{GROUP.name}] mix_file: {error}") from error
    return policy


def policy_settings(section: cfg.ConfigOpts) -> policies.PolicySettings:
    """Return the options for a policy that ranks whole hosts."""
    return policies.PolicySettings(
        Path(section.mix_file) if section.mix_file else None,
        section.mix_half_life,
        section.gpu_values,
    )
