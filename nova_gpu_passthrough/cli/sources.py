# SPDX-License-Identifier: Apache-2.0
"""Where a command gets the facts of a host from, and how they are judged."""

import argparse
import dataclasses
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from nova_gpu_passthrough.errors import UserError
from nova_gpu_passthrough.inventory.findings import Finding
from nova_gpu_passthrough.inventory.model import Inventory

_IDS = re.compile(r"([0-9a-f]{4}:[0-9a-f]{4})=(\S+)", re.IGNORECASE)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options that name the host and what else is known about it."""
    source = parser.add_mutually_exclusive_group()
    source.add_argument(
        "--root",
        metavar="DIR",
        type=Path,
        default=Path("/"),
        help="directory that holds sys and proc: a recorded tree (default: this machine)",
    )
    source.add_argument(
        "--hwloc",
        metavar="FILE",
        type=Path,
        help="read an hwloc export instead (lstopo --of xml); it knows no drivers and groups",
    )
    source.add_argument(
        "--inventory",
        metavar="FILE",
        type=Path,
        help="judge what an inventory holds instead of reading a host",
    )
    parser.add_argument(
        "--host", metavar="NAME", help="the host's name in Nova (default: its host name)"
    )
    parser.add_argument(
        "--gpu",
        metavar="VENDOR:PRODUCT=MODEL",
        action="append",
        default=[],
        help="name a model that is not in the catalogue, such as 10de:2684=RTX-4090 (may be "
        "repeated)",
    )
    parser.add_argument(
        "--links",
        metavar="FILE",
        type=Path,
        action="append",
        default=[],
        help="saved output from which links between GPUs are taken: nvidia-smi topo -m, nvlink "
        "--status, nvlink -R, -q or --query-gpu=index,pci.bus_id --format=csv, amd-smi topology, "
        "fmpm -l (may be repeated)",
    )
    parser.add_argument(
        "--link-group",
        metavar="NAME=ADDRESS,...",
        action="append",
        default=[],
        help="GPUs that are linked, such as nvl0=0000:18:00.0,0000:2a:00.0; partitions after a "
        "slash: nvs0/p0=... (may be repeated; beats all other sources)",
    )
    parser.add_argument(
        "--redfish",
        metavar="URL",
        help="ask the management controller for power and temperatures; it takes the role "
        "ReadOnly, name and password from REDFISH_USERNAME and REDFISH_PASSWORD or ~/.netrc",
    )
    parser.add_argument(
        "--redfish-system",
        metavar="ID",
        help="which system of the management controller this host is (default: the first)",
    )
    parser.add_argument(
        "--redfish-ca",
        metavar="FILE",
        type=Path,
        help="certificates that the management controller's is checked against",
    )
    parser.add_argument(
        "--redfish-insecure",
        action="store_true",
        help="do not check the management controller's certificate",
    )


def audit(options: argparse.Namespace) -> Inventory:
    """Read the facts that the options name, and judge them.

    :raises UserError: if an option makes no sense or a file cannot be read
    """
    # Modules are imported where they are used: nova-gpu --help shall not wait for them.
    from nova_gpu_passthrough.host import audit as host_audit
    from nova_gpu_passthrough.host.links import assignment, texts

    saved = [texts.read(path) for path in options.links]
    facts, hives, further = _facts(options)
    if saved or options.link_group or not options.inventory:
        links = assignment.assign(
            facts.devices,
            facts.gpus,
            saved,
            hives,
            options.link_group,
            drivers_told=facts.tells_kernel,
        )
        facts = dataclasses.replace(facts, gpus=links.applied_to(facts.gpus))
        further = [finding for finding in further if not finding.id.startswith("fabric.")]
        further += links.findings
    if options.redfish:
        from nova_gpu_passthrough.host import redfish

        chassis, findings = redfish.read(
            options.redfish,
            verify=_verify(options.redfish_ca, options.redfish_insecure),
            system=options.redfish_system,
        )
        facts = dataclasses.replace(facts, chassis=chassis)
        further += findings
    return host_audit.judge(facts, further)


def _facts(options: argparse.Namespace) -> tuple[Inventory, Mapping[str, str], list[Finding]]:
    """Facts without findings, xGMI hives by GPU, and findings of the reading itself."""
    named = dict(_named(options.gpu))
    if options.inventory:
        from nova_gpu_passthrough.inventory import store

        facts = store.load(options.inventory)
        # What an inventory's facts do not show again.
        kept = [
            f for f in facts.findings if f.id.partition(".")[0] in ("fabric", "read", "redfish")
        ]
        return dataclasses.replace(facts, host=options.host or facts.host), {}, kept
    if options.hwloc:
        from nova_gpu_passthrough.host import hwloc
        from nova_gpu_passthrough.host.sysfs import now

        facts = hwloc.read(options.hwloc, now(), options.host, named)
        return facts, {}, list(facts.findings)
    from nova_gpu_passthrough.host import sysfs
    from nova_gpu_passthrough.host.links import hives
    from nova_gpu_passthrough.host.root import Root

    root = Root(options.root)
    facts = sysfs.read(root, options.host, named)
    joined = hives.read(root, [gpu.address for gpu in facts.gpus])
    return facts, joined, root.findings()


def _named(words: Iterable[str]) -> Iterable[tuple[str, str]]:
    for word in words:
        found = _IDS.fullmatch(word)
        if not found:
            raise UserError(
                f"--gpu {word}: expected VENDOR:PRODUCT=MODEL with four hexadecimal digits each, "
                "such as 10de:2684=RTX-4090"
            )
        yield found[1].lower(), found[2]


def _verify(certificates: Path | None, insecure: bool) -> bool | str:
    if insecure and certificates:
        raise UserError("--redfish-ca and --redfish-insecure contradict each other: give one")
    return str(certificates) if certificates else not insecure
