# SPDX-License-Identifier: Apache-2.0
"""The options of commands that audit a host: which host, and the sources of its facts."""

import argparse
import re
from collections.abc import Iterable
from pathlib import Path

from nova_gpu_passthrough.errors import UserError
from nova_gpu_passthrough.inventory.model import Inventory

_IDS = re.compile(r"([0-9a-f]{4}:[0-9a-f]{4})=(\S+)", re.IGNORECASE)


def add_audit_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that name a host and the sources of its facts."""
    source = parser.add_mutually_exclusive_group()
    source.add_argument(
        "--root",
        metavar="DIR",
        type=Path,
        default=Path("/"),
        help="directory with the host's sys and proc, such as a recorded tree (default: /, this "
        "machine)",
    )
    source.add_argument(
        "--hwloc",
        metavar="FILE",
        type=Path,
        help="read an hwloc export instead (lstopo --of xml); it has no drivers and IOMMU groups",
    )
    source.add_argument(
        "--inventory",
        metavar="FILE",
        type=Path,
        help="audit the facts in an inventory instead of reading a host",
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
        help="saved output that reports links between GPUs: nvidia-smi topo -m, nvlink "
        "--status, nvlink -R, -q or --query-gpu=index,pci.bus_id --format=csv, amd-smi topology, "
        "fmpm -l (may be repeated)",
    )
    parser.add_argument(
        "--link-group",
        metavar="NAME=ADDRESS,...",
        action="append",
        default=[],
        help="GPUs that are linked, such as nvl0=0000:18:00.0,0000:2a:00.0; partitions after a "
        "slash: nvs0/p0=... (may be repeated; overrides all other sources)",
    )
    parser.add_argument(
        "--hash-serials",
        metavar="KEYFILE",
        type=Path,
        help="write keyed hashes (HMAC-SHA-256) instead of serial numbers: the same part has the "
        "same hash on every host that was audited with this key, so a card that moved is found, "
        "and nobody without the key can learn or test a number",
    )
    parser.add_argument(
        "--redfish",
        metavar="URL",
        help="read power, temperatures and serial numbers from the management controller; the role "
        "ReadOnly "
        "suffices, user name and password come from REDFISH_USERNAME and REDFISH_PASSWORD or "
        "~/.netrc",
    )
    parser.add_argument(
        "--redfish-system",
        metavar="ID",
        help="id of the host in the management controller's systems (default: the first)",
    )
    parser.add_argument(
        "--redfish-ca",
        metavar="FILE",
        type=Path,
        help="file with CA certificates to verify the management controller's certificate",
    )
    parser.add_argument(
        "--redfish-insecure",
        action="store_true",
        help="do not verify the management controller's certificate",
    )


def run_audit(options: argparse.Namespace) -> Inventory:
    """Audit the host that the options name.

    :raises UserError: if options contradict each other or a source cannot be read
    """
    # Imported here, so that nova-gpu --help does not load the audit.
    from nova_gpu_passthrough.host import audit as host_audit
    from nova_gpu_passthrough.host import serial_numbers

    return host_audit.audit(
        host_audit.AuditSources(
            root=options.root,
            hwloc=options.hwloc,
            inventory=options.inventory,
            host=options.host,
            model_names=dict(_model_names(options.gpu)),
            link_outputs=options.links,
            link_groups=options.link_group,
            serial_key=serial_numbers.read_key(options.hash_serials)
            if options.hash_serials
            else None,
            redfish=host_audit.RedfishSource(
                options.redfish,
                verify=_verify(options.redfish_ca, options.redfish_insecure),
                system=options.redfish_system,
            )
            if options.redfish
            else None,
        )
    )


def _model_names(values: Iterable[str]) -> Iterable[tuple[str, str]]:
    for value in values:
        match = _IDS.fullmatch(value)
        if not match:
            raise UserError(
                f"--gpu {value}: expected VENDOR:PRODUCT=MODEL with four hexadecimal digits each, "
                "such as 10de:2684=RTX-4090"
            )
        yield match[1].lower(), match[2]


def _verify(certificates: Path | None, insecure: bool) -> bool | str:
    """Return the certificates to trust: a file, the system's (True), or no check (False)."""
    if insecure and certificates:
        raise UserError("--redfish-ca and --redfish-insecure contradict each other: give one")
    return str(certificates) if certificates else not insecure
