# SPDX-License-Identifier: Apache-2.0
"""Power and temperatures of the chassis, as its management controller tells them over Redfish.

``service`` speaks to the controller through sushy, ``selection`` finds the host's chassis,
``resources`` asks for what one chassis has, ``readings`` takes numbers out of the answers,
``judgement`` makes findings of them.
"""

import contextlib
import logging
import threading
from collections.abc import Iterator
from concurrent.futures import Future

from nova_gpu_passthrough.errors import UserError
from nova_gpu_passthrough.host.redfish import judgement, resources, selection
from nova_gpu_passthrough.host.redfish.readings import Readings
from nova_gpu_passthrough.host.redfish.service import Login, Service, base_url, find_login
from nova_gpu_passthrough.inventory.findings import Finding
from nova_gpu_passthrough.inventory.host import Chassis

__all__ = ["Login", "read"]

#: Nobody waits longer, whatever the controller does: a name server that is silent and an answer
#: that comes in drops are not covered by the timeouts of a request.
MOST_SECONDS = 30


def read(
    url: str,
    *,
    login: Login | None = None,
    verify: bool | str = True,
    system: str | None = None,
) -> tuple[Chassis, list[Finding]]:
    """Ask a management controller for power, temperatures and alarms of the host's chassis.

    Reads only: the role ReadOnly suffices. Ends within `MOST_SECONDS`.

    :param url: of the controller, such as ``https://bmc.example``, without name and password
    :param login: default: from REDFISH_USERNAME and REDFISH_PASSWORD or netrc; without those,
        nothing is sent, as some services want no login
    :param verify: False, or a file with the certificates (PEM) that the controller's is checked
        against; True: the system's
    :param system: id of the ComputerSystem that the host is; default: the first one
    :raises UserError: if sushy is not installed, the controller cannot be reached, its
        certificate, the login or the system's id are wrong, or it does not answer as Redfish
    """
    base = base_url(url)
    login = login or find_login(base)
    answer: Future[tuple[Chassis, list[Finding]]] = Future()

    def ask() -> None:
        try:
            with Service(base, login, verify) as service:
                told = _read(service, system)
            # Not before the logout: the program may end right after.
            answer.set_result(told)
        except BaseException as error:
            answer.set_exception(error)

    with _hushed("sushy"):
        # A daemon: the program ends although a request hangs.
        threading.Thread(target=ask, name="redfish", daemon=True).start()
        try:
            return answer.result(MOST_SECONDS)
        except TimeoutError:
            raise UserError(
                f"{base}: the management controller has not answered all questions within "
                f"{MOST_SECONDS} s; try again, it may be restarting"
            ) from None


def _read(service: Service, wanted: str | None) -> tuple[Chassis, list[Finding]]:
    chosen = selection.choose(service, wanted)
    every = [resources.read(service, path) for path in chosen.chassis]
    findings = [*chosen.findings()]
    for readings in every:
        findings += judgement.judge(readings)
    findings += judgement.unread(service.url, service.notes)
    return _summary(every), findings


def _summary(every: list[Readings]) -> Chassis:
    """One record; of several chassis, the first one with numbers tells the power.

    They are not added up: an enclosure's power contains that of the chassis in it.
    """
    powers = [readings.power for readings in every]
    draw = next((power for power in powers if power.watts is not None), None)
    power = draw or next((power for power in powers if power.capacity_watts is not None), None)
    temperatures: dict[str, float] = {}
    for readings in every:
        for sensor in readings.temperatures:
            if sensor.celsius is not None:
                temperatures[_free(sensor.name, temperatures)] = sensor.celsius
    return Chassis(
        power_watts=power.watts if power else None,
        power_capacity_watts=power.capacity_watts if power else None,
        temperatures=temperatures or None,
    )


def _free(name: str, taken: dict[str, float]) -> str:
    """The name, with a number behind it if another sensor has it already."""
    result, number = name, 2
    while result in taken:
        result, number = f"{name} ({number})", number + 1
    return result


@contextlib.contextmanager
def _hushed(name: str) -> Iterator[None]:
    """Keep a library's warnings off the terminal: what matters becomes an error or a finding."""
    logger = logging.getLogger(name)
    level = logger.level
    if not logger.isEnabledFor(logging.DEBUG):
        logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(level)
