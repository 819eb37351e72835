# SPDX-License-Identifier: Apache-2.0
"""Generate the files of two hosts and read them with the options of Nova and Placement."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.metadata
import itertools
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from nova.conf import opts as nova_opts
from oslo_config import cfg
from placement.conf import opts as placement_opts

from nova_gpu_passthrough import conf as gpu_conf
from nova_gpu_passthrough.fleet.releases import parse
from nova_gpu_passthrough.fleet.settings import Settings
from nova_gpu_passthrough.generate import render
from nova_gpu_passthrough.inventory.host import NumaNode
from nova_gpu_passthrough.inventory.model import Inventory
from nova_gpu_passthrough.inventory.pci import DeviceType
from tests.embedded.fleet import COMPANION, GPU, NIC, GpuDevice, GpuHost
from tests.unit.generate import builders
from tests.unit.generate.ini import assignments

RELEASE = parse(importlib.metadata.version("nova").split(".")[0])
NUMA_NODES = tuple(
    NumaNode(
        node,
        node,
        f"{64 * node}-{64 * node + 63}",
        tuple(f"{cpu}-{cpu + 1}" for cpu in range(64 * node, 64 * node + 64, 2)),
        512 * 1024,
        distances=(10, 21) if node == 0 else (21, 10),
    )
    for node in range(2)
)
NIC_ADDRESS = "0000:40:00.0"


def small_bars(values: Inventory) -> Inventory:
    """Remove large BARs: their flavors require a trait that Nova's fake libvirt does not report."""
    return dataclasses.replace(
        values, devices=tuple(dataclasses.replace(device, bars=()) for device in values.devices)
    )


HOSTS = (
    small_bars(builders.hgx(numa_nodes=NUMA_NODES)),
    small_bars(builders.l40s(numa_nodes=NUMA_NODES)),
)


def options(*listed: Iterable[tuple[Any, Iterable[cfg.Opt]]]) -> cfg.ConfigOpts:
    """Return options without values, separate from those of the running Nova."""
    conf = cfg.ConfigOpts()
    for group, opts in itertools.chain(*listed):
        name = getattr(group, "name", group)
        for opt in opts:
            # The options of keystoneauth1 are listed twice, and some are required.
            with contextlib.suppress(cfg.DuplicateOptError):
                if not opt.required:
                    conf.register_opt(opt, group=None if name == "DEFAULT" else name)
    return conf


def nova_options() -> cfg.ConfigOpts:
    """Return all options of the installed Nova and of this package."""
    return options(nova_opts.list_opts(), gpu_conf.list_opts())


def placement_options() -> cfg.ConfigOpts:
    """Return all options of the installed Placement."""
    return options(placement_opts.list_opts())


def read(conf: cfg.ConfigOpts, project: str, *files: Path) -> dict[tuple[str | None, str], Any]:
    """Return the values that a service reads from the files, by group and option name."""
    conf([], project=project, default_config_files=[str(file) for file in files])
    values: dict[tuple[str | None, str], Any] = {}
    for file in files:
        for section, name, _ in assignments(file.read_text()):
            group = None if section == "DEFAULT" else section
            named = conf if group is None else conf[group]
            assert name in named, f"{file}: [{section}] {name} is not an option"
            values[group, name] = named[name]
    return values


def write(root: Path, *hosts: Inventory, **settings: Any) -> Path:
    """Write the generated files below a directory."""
    settings = {"release": RELEASE, "nics": (f"hgx1/{NIC_ADDRESS}",), **settings}
    for file in render.generate(hosts or HOSTS, Settings(**settings)).files:
        path = file.below(root)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(file.text)
    return root


def nova_files(root: Path, host: str) -> list[Path]:
    return sorted((root / host / "etc/nova/nova.conf.d").iterdir())


@dataclasses.dataclass(frozen=True)
class GeneratedHost(GpuHost):
    """A host of the embedded cloud with a generated device_spec."""

    generated: tuple[str, ...] = ()

    @property
    def device_spec(self) -> list[str]:
        return list(self.generated)


def embedded_host(inventory: Inventory, values: dict[tuple[str | None, str], Any]) -> GeneratedHost:
    """Return a host of the embedded cloud for an inventory."""
    specs = {json.loads(spec)["address"]: spec for spec in values["pci", "device_spec"]}
    gpus = {gpu.address: gpu for gpu in inventory.gpus}
    devices = []
    for address in specs:
        function = inventory.by_address[address]
        bus, slot = (int(part, 16) for part in function.slot.split(":")[1:])
        devices.append(
            GpuDevice(
                bus,
                slot,
                function.function,
                function.vendor_id,
                function.product_id,
                function.numa_node if function.numa_node is not None else -1,
                role={"gpu": GPU, "nic": NIC}.get(function.role, COMPANION),
                model=gpus[address].model if address in gpus else None,
                card=function.slot,
                dev_type="PF" if function.device_type is DeviceType.PF else "PCI",
            )
        )
    return GeneratedHost(
        inventory.host,
        tuple(device for device in devices if device.role != NIC),
        tuple(device for device in devices if device.role == NIC),
        memory_mib_per_node=inventory.numa_nodes[0].memory_mib,
        generated=tuple(specs.values()),
    )
