# SPDX-License-Identifier: Apache-2.0
"""Which chassis the host is in."""

from collections.abc import Iterator
from dataclasses import dataclass

from nova_gpu_passthrough.errors import UserError
from nova_gpu_passthrough.host.redfish.readings import Document, entries, link, part
from nova_gpu_passthrough.host.redfish.service import Service
from nova_gpu_passthrough.inventory.findings import HOST, Finding, Severity


@dataclass(frozen=True, slots=True)
class Choice:
    """A computer system and the chassis that it is in, as paths."""

    source: str
    system: str
    #: All systems of the service, by id.
    systems: tuple[str, ...]
    chassis: tuple[str, ...]

    def findings(self) -> Iterator[Finding]:
        """Say which ones they are."""
        names = ", ".join(map(_last, self.chassis))
        found = f"system {_last(self.system)}, chassis {names or 'unknown'}"
        if len(self.systems) > 1:
            others = ", ".join(one for one in self.systems if one != _last(self.system))
            found += f"; not asked about: {others} (choose with --redfish-system)"
        if self.chassis:
            yield Finding("redfish.system", Severity.OK, HOST, found, self.source)
        else:
            yield Finding(
                "redfish.chassis_unknown",
                Severity.WARNING,
                HOST,
                f"{found}: the system names no chassis, and no chassis names it",
                self.source,
                "Power and temperatures are read from a chassis; the audit lacks them.",
                "Name another system with --redfish-system, or update the controller's firmware.",
            )


def choose(service: Service, wanted: str | None) -> Choice:
    """The system that the host is, and its chassis.

    :param wanted: the system's id; None: the first one
    :raises UserError: if there are no systems, or none with that id
    """
    collection = link(service.root, "Systems")
    if collection is None:
        raise UserError(
            f"{service.url}: names no computer systems at /redfish/v1/; expected the Redfish "
            "service of a server's management controller"
        )
    systems = _paths(service.required(collection), "Members")
    if not systems:
        raise UserError(
            f"{service.url}: there is no computer system at {collection}; expected the Redfish "
            "service of a server's management controller"
        )
    system = systems[0]
    if wanted is not None:
        named = {key: path for path in systems for key in (path, _last(path))}
        if wanted not in named:
            raise UserError(
                f"{service.url}: no system {wanted}; --redfish-system expects one of "
                f"{', '.join(map(_last, systems))}"
            )
        system = named[wanted]
    chassis = _paths(part(service.required(system), "Links"), "Chassis")
    return Choice(
        service.url + system,
        system,
        tuple(map(_last, systems)),
        tuple(dict.fromkeys(chassis or _naming(service, system))),
    )


def _naming(service: Service, system: str) -> list[str]:
    """Chassis that name the system; the only chassis, if it names none."""
    collection = link(service.root, "Chassis")
    every = _paths((service.document(collection) if collection else None) or {}, "Members")
    naming = [
        path
        for path in every
        if system in _paths(part(service.document(path) or {}, "Links"), "ComputerSystems")
    ]
    return naming or (every if len(every) == 1 else [])


def _paths(document: Document, key: str) -> list[str]:
    linked = (link({"": entry}, "") for entry in entries(document, key))
    return [path.rstrip("/") for path in linked if path]


def _last(path: str) -> str:
    return path.rpartition("/")[2]
