# SPDX-License-Identifier: Apache-2.0
"""Which resources of a chassis tell what.

The resources Power and Thermal are asked first: they tell all in one answer each. What they do not
tell, or where a controller has only their successors (deprecated by Redfish 2020.4), Sensors,
ThermalSubsystem, PowerSubsystem and EnvironmentMetrics tell.
"""

import dataclasses

from nova_gpu_passthrough.host.redfish import readings
from nova_gpu_passthrough.host.redfish.readings import (
    Document,
    Kind,
    Part,
    Power,
    Readings,
    entries,
    health,
    link,
)
from nova_gpu_passthrough.host.redfish.service import Service


def read(service: Service, path: str) -> Readings:
    """Ask a chassis for power, power supplies, temperatures and fans.

    :raises UserError: if the chassis itself cannot be read
    """
    chassis = service.required(path)
    name = readings.text(chassis.get("Id")) or path.rstrip("/").rpartition("/")[2]
    result = Readings(name, service.url + path)
    _Chassis(service, chassis, result).read()
    return result


class _Chassis:
    """Questions to one chassis."""

    def __init__(self, service: Service, chassis: Document, result: Readings) -> None:
        self._service = service
        self._chassis = chassis
        self._result = result

    def read(self) -> None:
        """Fill in all readings."""
        thermal = self._below("Thermal")
        self._heat(thermal)
        self._cooling(thermal)
        power = self._below("Power")
        subsystem: Document | None = None
        if not entries(power, "PowerSupplies") or not entries(power, "PowerControl"):
            subsystem = self._below("PowerSubsystem")
        self._supply(power, subsystem or {})
        self._power(power, subsystem or {})

    def _heat(self, thermal: Document) -> None:
        found = list(readings.thermal_temperatures(thermal))
        source = link(self._chassis, "Thermal")
        if not found and (source := link(self._chassis, "Sensors")):
            found = list(readings.sensor_temperatures(self._service.members(source)))
        if not found:
            source = link(self._below("ThermalSubsystem"), "ThermalMetrics")
            found = list(readings.metrics_temperatures(self._document(source)))
        if not found:
            source = link(self._chassis, "EnvironmentMetrics")
            found = list(readings.metrics_temperatures(self._document(source)))
        if found:
            self._result.temperatures = found
            self._told("heat", source)

    def _cooling(self, thermal: Document) -> None:
        fans, source = entries(thermal, "Fans"), link(self._chassis, "Thermal")
        redundancy, whole = entries(thermal, "Redundancy"), thermal
        if not fans:
            subsystem = self._below("ThermalSubsystem")
            if collection := link(subsystem, "Fans"):
                fans, source = list(self._service.members(collection)), collection
            if subsystem:
                source = source or link(self._chassis, "ThermalSubsystem")
                redundancy, whole = entries(subsystem, "FanRedundancy"), subsystem
        self._result.cooling = [
            *readings.parts(Kind.FAN, fans),
            *readings.groups("fan", redundancy),
            *_subsystem("cooling", whole),
        ]
        self._told("cooling", source)

    def _supply(self, power: Document, subsystem: Document) -> None:
        supplies, source = entries(power, "PowerSupplies"), link(self._chassis, "Power")
        redundancy, whole = entries(power, "Redundancy"), power
        if not supplies and subsystem:
            source = link(subsystem, "PowerSupplies")
            supplies = list(self._service.members(source)) if source else []
            source = source or link(self._chassis, "PowerSubsystem")
            redundancy, whole = entries(subsystem, "PowerSupplyRedundancy"), subsystem
        # Some controllers repeat the group in each of its supplies instead.
        redundancy = redundancy or [
            group for one in supplies for group in entries(one, "Redundancy")
        ]
        self._result.supply = [
            *readings.parts(Kind.SUPPLY, supplies),
            *dict.fromkeys(readings.groups("power supply", redundancy)),
            *_subsystem("power", whole),
        ]
        self._told("supply", source)

    def _power(self, power: Document, subsystem: Document) -> None:
        told, source = readings.control(power), link(self._chassis, "Power")
        if told.watts is None:
            newer = readings.environment(self._below("EnvironmentMetrics"), subsystem)
            told = _completed(newer, told)
            source = link(self._chassis, "EnvironmentMetrics") or source
        elif told.capacity_watts is None:
            told = _completed(told, readings.environment({}, subsystem))
        if told.capacity_watts is None:
            told = dataclasses.replace(told, capacity_watts=_capacity(self._result.supply))
        self._result.power = told
        self._told("power", source)

    def _below(self, key: str) -> Document:
        return self._document(link(self._chassis, key))

    def _document(self, path: str | None) -> Document:
        return (self._service.document(path) if path else None) or {}

    def _told(self, about: str, path: str | None) -> None:
        if path:
            self._result.sources[about] = self._service.url + path


def _subsystem(name: str, document: Document) -> list[Part]:
    state = health(document)
    return [Part(Kind.SUBSYSTEM, f"{name} subsystem", state)] if state else []


def _completed(told: Power, further: Power) -> Power:
    """The one's numbers, and the other's where it has none."""
    values = dataclasses.asdict(told).items()
    return Power(
        **{key: getattr(further, key) if value is None else value for key, value in values}
    )


def _capacity(supply: list[Part]) -> float | None:
    """All power supplies together, if each tells its own capacity."""
    capacities = [part.capacity_watts for part in supply if part.kind is Kind.SUPPLY]
    known = [capacity for capacity in capacities if capacity]
    return sum(known) if known and len(known) == len(capacities) else None
