# SPDX-License-Identifier: Apache-2.0
"""Find the chassis of the host."""

from collections.abc import Iterator
from dataclasses import dataclass

from nova_gpu_passthrough.errors import UserError
from nova_gpu_passthrough.host.redfish.readings import Document, child, link, objects, text
from nova_gpu_passthrough.host.redfish.service import RedfishService
from nova_gpu_passthrough.inventory.findings import HOST, Finding, Severity


@dataclass(frozen=True, slots=True)
class ChassisSelection:
    """A computer system and its chassis, as paths."""

    source: str
    system: str
    #: All systems of the service, by id.
    systems: tuple[str, ...]
    chassis: tuple[str, ...]
    #: The system's serial number, as the service gives it.
    serial: str | None = None

    def findings(self) -> Iterator[Finding]:
        """Report the system and its chassis."""
        names = ", ".join(map(_last_segment, self.chassis))
        text = f"system {_last_segment(self.system)}, chassis {names or 'unknown'}"
        if len(self.systems) > 1:
            others = ", ".join(
                system for system in self.systems if system != _last_segment(self.system)
            )
            text += f"; not read: {others} (choose with --redfish-system)"
        if self.chassis:
            yield Finding("redfish.system", Severity.OK, HOST, text, self.source)
        else:
            yield Finding(
                "redfish.chassis_unknown",
                Severity.WARNING,
                HOST,
                f"{text}: the system names no chassis, and no chassis names it",
                self.source,
                "Power and temperatures are read from a chassis; the audit lacks them.",
                "Name another system with --redfish-system, or update the controller's firmware.",
            )


def select(service: RedfishService, system_id: str | None) -> ChassisSelection:
    """Return the system that is the host, and its chassis.

    :param system_id: default: the first system
    :raises UserError: if there are no systems, or none with that id
    """
    collection = link(service.root, "Systems")
    if collection is None:
        raise UserError(
            f"{service.url}: no computer systems at /redfish/v1/; expected the Redfish "
            "service of a server's management controller"
        )
    systems = _paths(service.required(collection), "Members")
    if not systems:
        raise UserError(
            f"{service.url}: there is no computer system at {collection}; expected the Redfish "
            "service of a server's management controller"
        )
    system = systems[0]
    if system_id is not None:
        by_name = {key: path for path in systems for key in (path, _last_segment(path))}
        if system_id not in by_name:
            raise UserError(
                f"{service.url}: no system {system_id}; --redfish-system expects one of "
                f"{', '.join(map(_last_segment, systems))}"
            )
        system = by_name[system_id]
    document = service.required(system)
    chassis = _paths(child(document, "Links"), "Chassis")
    return ChassisSelection(
        service.url + system,
        system,
        tuple(map(_last_segment, systems)),
        tuple(dict.fromkeys(chassis or _chassis_of_system(service, system))),
        text(document.get("SerialNumber")),
    )


def _chassis_of_system(service: RedfishService, system: str) -> list[str]:
    """Return the chassis that link to the system, or else the only chassis."""
    collection = link(service.root, "Chassis")
    chassis = _paths((service.document(collection) if collection else None) or {}, "Members")
    linked = [
        path
        for path in chassis
        if system in _paths(child(service.document(path) or {}, "Links"), "ComputerSystems")
    ]
    return linked or (chassis if len(chassis) == 1 else [])


def _paths(document: Document, key: str) -> list[str]:
    paths = (link({"": entry}, "") for entry in objects(document, key))
    return [path.rstrip("/") for path in paths if path]


def _last_segment(path: str) -> str:
    return path.rpartition("/")[2]
