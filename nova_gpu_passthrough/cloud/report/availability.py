# SPDX-License-Identifier: Apache-2.0
"""What of a cloud's GPUs is free, as a document that everyone may read.

``nova-gpu report --public`` writes it into its page, or as a file of its own, by
``availability-v1.json`` in this folder; ``nova-gpu available`` reads it. It names no server, user,
project or host. A flavor that is not public can have a telling name, so it has none here: its key
is recognized only by those who know its id.
"""

import hashlib
import json
import re
from collections.abc import Collection
from dataclasses import asdict, dataclass

import cattrs

from nova_gpu_passthrough.cloud.fit.capacity import FlavorCapacity
from nova_gpu_passthrough.cloud.report import gpu_counts
from nova_gpu_passthrough.cloud.report.snapshot import Snapshot
from nova_gpu_passthrough.cloud.view.model import CloudFlavor
from nova_gpu_passthrough.errors import UserError
from nova_gpu_passthrough.files import documents, schema_error

SCHEMA = "nova-gpu-passthrough/availability"
VERSION = 1
#: The id of the element with the document in a page.
ELEMENT = "availability"

_ELEMENT = re.compile(rf'<script type="application/json" id="{ELEMENT}">(.*?)</script>', re.DOTALL)


@dataclass(frozen=True)
class ModelAvailability:
    """GPUs of one model."""

    model: str
    total: int
    free: int
    #: Free GPUs that a server could have now.
    usable: int


@dataclass(frozen=True)
class FlavorAvailability:
    """Servers of one flavor."""

    #: `flavor_key` of its id.
    key: str
    #: None for a flavor that is not public.
    name: str | None
    #: None if it requests several models.
    model: str | None
    #: GPUs, vCPUs and memory of one server.
    gpus: int
    vcpus: int
    ram_mib: int
    #: Further servers that fit now, if no others are created, on hosts that every project with
    #: access to the flavor may use.
    servers: int
    #: Further servers on hosts that only some of these projects may use.
    reserved_servers: int
    exact: bool


@dataclass(frozen=True)
class Availability:
    """What is free at one moment."""

    #: ISO 8601 in UTC.
    taken_at: str
    models: tuple[ModelAvailability, ...]
    #: None where it was not counted, for want of a fleet file.
    flavors: tuple[FlavorAvailability, ...] | None

    def of_flavor(self, flavor: str) -> FlavorAvailability | None:
        """Return the entry of the flavor with this id; None if it has no GPUs or is newer."""
        key = flavor_key(flavor)
        return next((each for each in self.flavors or () if each.key == key), None)


def flavor_key(flavor: str) -> str:
    """Return the key of the flavor with this id."""
    return hashlib.sha256(flavor.encode("utf-8", "replace")).hexdigest()


def build(snapshot: Snapshot) -> Availability:
    """Return what is free by a snapshot."""
    flavors = {flavor.name: flavor for flavor in snapshot.view.flavors}
    counted = (
        _flavor(snapshot, flavors[one.flavor], one)
        for one in snapshot.capacity.flavors
        # Private flavors that Nova does not list to the caller have no id.
        if flavors[one.flavor].id
    )
    return Availability(
        snapshot.view.taken_at,
        tuple(
            ModelAvailability(model, counts.total, counts.free, counts.usable)
            for model, counts in gpu_counts.by_model(snapshot).items()
        ),
        tuple(counted) if snapshot.counted else None,
    )


def reserved_hosts(snapshot: Snapshot, flavor: CloudFlavor) -> Collection[str]:
    """Return the hosts that not all projects with access to a flavor may use."""
    reserved = {
        host.name: host.reserved_for
        for host in snapshot.view.hosts
        if host.reserved_for is not None
    }
    projects = flavor.projects
    return [name for name, ids in reserved.items() if projects is None or not ids >= {*projects}]


def _flavor(snapshot: Snapshot, flavor: CloudFlavor, counted: FlavorCapacity) -> FlavorAvailability:
    reserved = sum(counted.by_host.get(host, 0) for host in reserved_hosts(snapshot, flavor))
    return FlavorAvailability(
        flavor_key(flavor.id),
        flavor.name if flavor.public else None,
        counted.model,
        counted.gpus,
        flavor.vcpus,
        flavor.ram_mib,
        max(0, counted.servers - reserved),
        reserved,
        counted.exact,
    )


def dump(found: Availability) -> str:
    """Return the document as JSON."""
    document = {"schema": SCHEMA, "version": VERSION, **asdict(found)}
    return json.dumps(document, indent=1) + "\n"


def is_document(text: str) -> bool:
    """Check whether a text is such a document, which a new one may replace."""
    try:
        parse(text, "")
    except UserError:
        return False
    return True


def parse(text: str, source: str) -> Availability:
    """Read the document, or a page that has it.

    :param source: the file or address of the text, for messages
    :raises UserError: if it is neither
    """
    expected = "expected the page or the JSON file that nova-gpu report --public wrote"
    element = None if text.lstrip().startswith("{") else _ELEMENT.search(text)
    try:
        document = json.loads(element[1] if element else text)
    except (ValueError, RecursionError):
        raise UserError(f"{source}: no JSON document of what is free; {expected}") from None
    if isinstance(document, dict) and document.get("schema") == SCHEMA:
        version = document.get("version")
        if isinstance(version, int) and version > VERSION:
            raise UserError(
                f"{source}: version {version} of the document, and this nova-gpu reads only "
                f"version {VERSION}: install a newer nova-gpu-passthrough"
            )
    rules = documents.schema(__package__, f"availability-v{VERSION}.json")
    worst = schema_error.find(document, rules)
    if worst is not None:
        raise UserError(f"{source}: {schema_error.sentence(worst)}; {expected}")
    found: Availability = cattrs.structure(document, Availability)
    return found


def embed(found: Availability) -> str:
    """Return the document for an element of type application/json in a page."""
    # No end tag and no comment can begin in it; JSON strings may have any character escaped.
    return dump(found).replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")
