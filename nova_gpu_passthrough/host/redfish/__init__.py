# SPDX-License-Identifier: Apache-2.0
"""Read power, temperatures and serial numbers of the chassis over Redfish.

``service`` talks to the controller through sushy, ``selection`` finds the host's chassis,
``resources`` reads the resources of one chassis, ``readings`` parses numbers and states in them,
``chassis_findings`` makes findings from the readings.
"""

import contextlib
import logging
from collections.abc import Iterator
from dataclasses import dataclass

from nova_gpu_passthrough import waiting
from nova_gpu_passthrough.errors import UserError
from nova_gpu_passthrough.host import serial_numbers
from nova_gpu_passthrough.host.redfish import chassis_findings, resources, selection
from nova_gpu_passthrough.host.redfish.readings import ChassisReadings
from nova_gpu_passthrough.host.redfish.service import Login, RedfishService, base_url, find_login
from nova_gpu_passthrough.inventory.findings import Finding
from nova_gpu_passthrough.inventory.host import Chassis

__all__ = ["ControllerReadings", "Login", "read"]

#: Limit of the whole reading.
MAX_SECONDS = 30


@dataclass(frozen=True)
class ControllerReadings:
    """What a management controller reports about a host."""

    chassis: Chassis
    #: Serial numbers of the system and of its chassis; None: unknown.
    system_serial: str | None
    chassis_serial: str | None
    findings: list[Finding]


def read(
    url: str,
    *,
    login: Login | None = None,
    verify: bool | str = True,
    system: str | None = None,
) -> ControllerReadings:
    """Read power, temperatures and alarms of the host's chassis from a management controller.

    The role ReadOnly suffices. Returns within `MAX_SECONDS`.

    :param url: URL of the controller, such as ``https://bmc.example``, without name and password
    :param login: default: from REDFISH_USERNAME and REDFISH_PASSWORD or netrc; without those, no
        login is sent, as some services need none
    :param verify: False, or a file with the certificates (PEM) that the controller's is checked
        against; True: the system's certificates
    :param system: id of the ComputerSystem that the host is; default: the first one
    :raises UserError: if sushy is not installed, the controller cannot be reached, its
        certificate, the login or the system's id is wrong, or it is no Redfish service
    """
    base = base_url(url)
    login = login or find_login(base)

    def read_chassis() -> ControllerReadings:
        # Only after the logout: the program may end immediately.
        with RedfishService(base, login, verify) as service:
            controller_readings = _read(service, system)
        return controller_readings

    def report(waited: float) -> None:
        waiting.notify(
            f"reading the management controller at {base}: not complete after {waited:g} s; the "
            f"limit is {MAX_SECONDS} s"
        )

    with _without_warnings("sushy"):
        try:
            return waiting.limited(read_chassis, MAX_SECONDS, report)
        except TimeoutError:
            raise UserError(
                f"{base}: the management controller has not answered all requests within "
                f"{MAX_SECONDS} s; try again, it may be restarting"
            ) from None


def _read(service: RedfishService, system: str | None) -> ControllerReadings:
    selected = selection.select(service, system)
    chassis = [resources.read(service, path) for path in selected.chassis]
    findings = [*selected.findings()]
    for readings in chassis:
        findings += chassis_findings.findings_of(readings)
    findings += chassis_findings.unreadable(service.url, service.notes)
    serials = [selected.serial, next((one.serial for one in chassis if one.serial), None)]
    system_serial, chassis_serial = map(serial_numbers.usable, serials)
    return ControllerReadings(_summary(chassis), system_serial, chassis_serial, findings)


def _summary(chassis: list[ChassisReadings]) -> Chassis:
    """Combine the readings; the power is that of the first chassis that reports it.

    The numbers are not added: an enclosure's power includes that of the chassis inside.
    """
    powers = [readings.power for readings in chassis]
    draw = next((power for power in powers if power.watts is not None), None)
    power = draw or next((power for power in powers if power.capacity_watts is not None), None)
    temperatures: dict[str, float] = {}
    for readings in chassis:
        for sensor in readings.temperatures:
            if sensor.celsius is not None:
                temperatures[_unique_name(sensor.name, temperatures)] = sensor.celsius
    return Chassis(
        power_watts=power.watts if power else None,
        power_capacity_watts=power.capacity_watts if power else None,
        temperatures=temperatures or None,
    )


def _unique_name(name: str, used: dict[str, float]) -> str:
    """Return the name, with a number appended if another sensor has the same name."""
    result, number = name, 2
    while result in used:
        result, number = f"{name} ({number})", number + 1
    return result


@contextlib.contextmanager
def _without_warnings(name: str) -> Iterator[None]:
    """Suppress a library's warnings: relevant ones become an error or a finding."""
    logger = logging.getLogger(name)
    level = logger.level
    if not logger.isEnabledFor(logging.DEBUG):
        logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(level)
