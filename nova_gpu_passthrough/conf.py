# SPDX-License-Identifier: Apache-2.0
"""Options of nova-scheduler's ``[gpu_passthrough]`` section."""

import math
from pathlib import Path
from typing import Any

from oslo_config import cfg, types

from nova_gpu_passthrough.errors import UserError
from nova_gpu_passthrough.policies import base as policies
from nova_gpu_passthrough.policies import mix

GROUP = cfg.OptGroup(
    "gpu_passthrough",
    title="GPU passthrough",
    help="""
How GpuPassthroughFilter and GpuPassthroughWeigher place servers with whole GPUs, and keep
servers without GPUs from using up GPU hosts. Read by nova-scheduler.
""",
)

#: Host aggregates override options of the same name by metadata keys with this prefix.
AGGREGATE_PREFIX = "gpu_passthrough:"


class _Told(types.ConfigType):
    """An option type that names the bad value and what is expected, which oslo.config's do not."""

    def __init__(self, kind: types.ConfigType, expected: str) -> None:
        super().__init__(kind.type_name)
        self.kind = kind
        self.expected = expected

    def __call__(self, value: Any) -> Any:
        try:
            result = self.kind(value)
        except ValueError:
            raise ValueError(f"it is {value!r}, expected {self.expected}") from None
        numbers = result.values() if isinstance(result, dict) else (result,)
        if not all(math.isfinite(n) for n in numbers if isinstance(n, float)):
            raise ValueError(f"it is {value!r}, expected {self.expected}")
        return result

    def _formatter(self, value: Any) -> Any:
        return self.kind._formatter(value)

    def __getattr__(self, name: str) -> Any:
        # The generator of samples asks for bounds.
        if name in ("kind", "expected"):
            raise AttributeError(name)
        return getattr(self.kind, name)


_COUNT = _Told(types.Integer(min=0), "a whole number from 0 on")
_FLAG = _Told(types.Boolean(), "true or false")

OPTS = [
    cfg.ListOpt(
        "aliases",
        default=[],
        help="""
Names of the PCI aliases that ask for GPUs.

Needed only for aliases whose GPUs nothing else tells: an alias is recognised without being named
here if its vendor_id and product_id are in the catalogue of GPU models, or if the devices that
serve it carry the tag ``gpu_model`` in ``[pci] device_spec``.

Example: ``aliases = research-gpu,render-gpu``
""",
    ),
    cfg.ListOpt(
        "resource_classes",
        default=[],
        help="""
Placement resource classes that are GPUs. An alias with one of them as its ``resource_class``
asks for GPUs.

Example: ``resource_classes = CUSTOM_GPU_H100,PGPU``
""",
    ),
    cfg.StrOpt(
        "policy",
        default="pack",
        help="""
How hosts that fit a GPU request are ranked: the name of a policy installed under the entry point
namespace ``nova_gpu_passthrough.policies``.

* ``pack``: fill hosts up, so that whole hosts stay free for large requests.
* ``spread``: even out the load.
* ``fragmentation``: leave as many GPUs usable as possible for the mix of servers that are asked
  for, with vCPUs, RAM, NUMA nodes and link groups counted; servers without GPUs are placed by the
  same measure.
""",
    ),
    cfg.StrOpt(
        "mix_file",
        help="""
The mix of servers that the policy ``fragmentation`` keeps GPUs usable for: a file that
``nova-gpu mix`` writes from the servers of the cloud. It is read again when it changes. Without it,
the scheduler begins without a mix and learns it from the requests.

Example: ``mix_file = /etc/nova/gpu-mix.yaml``
""",
    ),
    cfg.Opt(
        "mix_half_life",
        type=_Told(types.Float(min=0.0), "a number from 0 on"),
        default=3000.0,
        help="""
After how many further servers with GPUs a server counts half in the mix that the policy
``fragmentation`` learns from requests. Each nova-scheduler worker learns for itself and forgets
when it stops. What ``mix_file`` says is the mix to begin with, and fades at the same pace. 0:
nothing is learned, and the mix stays as in the file.
""",
    ),
    cfg.Opt(
        "weight_multiplier",
        type=_Told(types.Float(min=0.0), "a number from 0 on"),
        default=10000.0,
        help="""
Multiplier of the GPU weigher, whose weights lie between 0 and 1.

The default outweighs Nova's resource weighers (RAM, CPU, disk, PCI, ...: a few units together),
which spread servers and so strand GPUs, and stays below those that keep servers away from failing
hosts and other cells (``build_failure_weight_multiplier``, ``cross_cell_move_weight_multiplier``:
1000000). 0 switches the weigher off.

Host aggregates override it by the metadata key ``gpu_passthrough:weight_multiplier``.
""",
    ),
    cfg.Opt(
        "max_candidates",
        type=_Told(types.Integer(min=1, max=64), "a whole number from 1 to 64"),
        default=8,
        help="""
How many choices of devices, at most, the filter leaves per host for the filters behind it.

More than one is needed only for servers with a NUMA topology: on which NUMA nodes the vCPUs and
memory fit is decided by NUMATopologyFilter, which costs it several milliseconds a choice. One
choice for every set of NUMA nodes that can hold the guest is the most that is useful.
""",
    ),
    cfg.Opt(
        "randomize_equal_choices",
        type=_FLAG,
        default=True,
        help="""
Pick at random among equally good sets of devices, so that schedulers which work at the same time
seldom choose the same GPUs. If false, the lowest PCI addresses win, which is repeatable.
""",
    ),
    cfg.Opt(
        "only_gpu_servers",
        type=_FLAG,
        default=False,
        help="""
Keep GPU hosts for servers with GPUs: a host that has, or was seen by this scheduler to have, GPUs
in its PCI pools is refused to all others.

A scheduler that has been started while all GPUs of a host were in use does not know that host as
a GPU host. Put GPU hosts into an aggregate with the metadata key
``gpu_passthrough:only_gpu_servers`` set to ``true`` to be independent of that. ``false`` there
exempts an aggregate from this option; of several aggregates ``true`` wins.
""",
    ),
    cfg.Opt(
        "reserved_vcpus_per_gpu",
        type=_COUNT,
        default=0,
        help="""
vCPUs to keep for every free GPU of a host, counted like ``[DEFAULT] cpu_allocation_ratio`` does: a
server without GPUs is refused if it would leave fewer.

Example: ``reserved_vcpus_per_gpu = 12`` on hosts with 8 GPUs and 112 CPUs, whose GPU flavors have
12 vCPUs per GPU.

Host aggregates override it by the metadata key ``gpu_passthrough:reserved_vcpus_per_gpu``; of
several aggregates the largest wins.
""",
    ),
    cfg.Opt(
        "reserved_ram_mib_per_gpu",
        type=_COUNT,
        default=0,
        help="""
RAM in MiB to keep for every free GPU of a host: a server without GPUs is refused if it would leave
less. All memory of a server with a passthrough device is pinned, so no overcommit is counted.

Example: ``reserved_ram_mib_per_gpu = 131072`` keeps 128 GiB for each free GPU.

Host aggregates override it by the metadata key ``gpu_passthrough:reserved_ram_mib_per_gpu``; of
several aggregates the largest wins.
""",
    ),
    cfg.Opt(
        "avoid_gpu_hosts",
        type=_Told(types.Float(min=0.0, max=1.0), "a number from 0 to 1"),
        default=1.0,
        help="""
How strongly the weigher keeps servers without GPUs away from hosts with free GPUs: 0 is not at
all, 1 the most. The more GPUs are free and the more they are worth, the further such a host is
avoided; with the policy ``fragmentation``, the more of them the server would make unusable. Hosts
without free GPUs keep the order that the other weighers give them.
""",
    ),
    cfg.Opt(
        "gpu_values",
        type=_Told(types.Dict(types.Float(min=0.0)), "model:number pairs between commas"),
        default={},
        help="""
What GPU models are worth, for ``avoid_gpu_hosts`` and the policy ``fragmentation``, where the
catalogue's rank (T4 is 1, L40S 5, A100 8, H100 18, B200 30) does not suit. Model names are the
catalogue's or those of the tag ``gpu_model``.

Example: ``gpu_values = A100-SXM-80GB:12,research-card:3``
""",
    ),
]


class ConfigError(ValueError):
    """An option has a value that makes no sense; the message is one sentence for the operator."""


def register_opts(conf: cfg.ConfigOpts) -> None:
    """Make the options known to ``conf``; doing so again is harmless."""
    conf.register_group(GROUP)
    conf.register_opts(OPTS, group=GROUP)


def list_opts() -> list[tuple[cfg.OptGroup, list[cfg.Opt]]]:
    """What oslo-config-generator puts into the sample."""
    return [(GROUP, OPTS)]


def check(conf: cfg.ConfigOpts) -> policies.Policy:
    """Read every option once, so that a bad value shows at start and not at the first request.

    :returns: the policy that ``[gpu_passthrough] policy`` names
    :raises ConfigError: if a value makes no sense
    """
    section = conf[GROUP.name]
    for opt in OPTS:
        try:
            value = section[opt.dest]
        except ValueError as error:
            # Around our own words, oslo.config puts where the value comes from, as Python sees it.
            told = error.__context__ or error
            raise ConfigError(f"[{GROUP.name}] {opt.name}: {told}") from error
        if isinstance(opt, cfg.ListOpt) and "" in (item.strip() for item in value):
            raise ConfigError(
                f"[{GROUP.name}] {opt.name}: it is {','.join(value)!r} with an empty item, "
                "expected names between commas"
            )
    try:
        policy = policies.load(section.policy)
    except policies.UnknownPolicyError as error:
        raise ConfigError(f"[{GROUP.name}] policy: {error}") from error
    wishes = settings(section)
    try:
        if isinstance(policy, policies.HostPolicy):
            policy.configure(wishes)
        elif wishes.mix_file:
            mix.load(wishes.mix_file)
    except UserError as error:
        raise ConfigError(f"[{GROUP.name}] mix_file: {error}") from error
    return policy


def settings(section: cfg.ConfigOpts) -> policies.Settings:
    """What the options tell a policy that looks at whole hosts."""
    return policies.Settings(
        Path(section.mix_file) if section.mix_file else None,
        section.mix_half_life,
        section.gpu_values,
    )
