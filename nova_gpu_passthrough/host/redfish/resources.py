# SPDX-License-Identifier: Apache-2.0
"""Read the resources of a chassis.

Power and Thermal are read first: each has all its data in one response. Sensors, ThermalSubsystem,
PowerSubsystem and EnvironmentMetrics, which replace them since Redfish 2020.4, are read for data
that Power and Thermal lack.
"""

import dataclasses

from nova_gpu_passthrough.host.redfish import readings
from nova_gpu_passthrough.host.redfish.readings import (
    ChassisPower,
    ChassisReadings,
    Component,
    ComponentKind,
    Document,
    health,
    link,
    objects,
)
from nova_gpu_passthrough.host.redfish.service import RedfishService


def read(service: RedfishService, path: str) -> ChassisReadings:
    """Read power, power supplies, temperatures and fans of a chassis.

    :raises UserError: if the chassis itself cannot be read
    """
    chassis = service.required(path)
    name = readings.text(chassis.get("Id")) or path.rstrip("/").rpartition("/")[2]
    serial = readings.text(chassis.get("SerialNumber"))
    result = ChassisReadings(name, service.url + path, serial=serial)
    _ChassisReader(service, chassis, result).read()
    return result


class _ChassisReader:
    """Reads the resources of one chassis."""

    def __init__(self, service: RedfishService, chassis: Document, result: ChassisReadings) -> None:
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
        if not objects(power, "PowerSupplies") or not objects(power, "PowerControl"):
            subsystem = self._below("PowerSubsystem")
        self._supply(power, subsystem or {})
        self._power(power, subsystem or {})

    def _heat(self, thermal: Document) -> None:
        temperatures = list(readings.thermal_temperatures(thermal))
        source = link(self._chassis, "Thermal")
        if not temperatures and (source := link(self._chassis, "Sensors")):
            temperatures = list(readings.sensor_temperatures(self._service.members(source)))
        if not temperatures:
            source = link(self._below("ThermalSubsystem"), "ThermalMetrics")
            temperatures = list(readings.metrics_temperatures(self._document(source)))
        if not temperatures:
            source = link(self._chassis, "EnvironmentMetrics")
            temperatures = list(readings.metrics_temperatures(self._document(source)))
        if temperatures:
            self._result.temperatures = temperatures
            self._set_source("heat", source)

    def _cooling(self, thermal: Document) -> None:
        fans, source = objects(thermal, "Fans"), link(self._chassis, "Thermal")
        redundancy, whole = objects(thermal, "Redundancy"), thermal
        if not fans:
            subsystem = self._below("ThermalSubsystem")
            if collection := link(subsystem, "Fans"):
                fans, source = list(self._service.members(collection)), collection
            if subsystem:
                source = source or link(self._chassis, "ThermalSubsystem")
                redundancy, whole = objects(subsystem, "FanRedundancy"), subsystem
        self._result.cooling = [
            *readings.components(ComponentKind.FAN, fans),
            *readings.redundancy_groups("fan", redundancy),
            *_subsystem("cooling", whole),
        ]
        self._set_source("cooling", source)

    def _supply(self, power: Document, subsystem: Document) -> None:
        supplies, source = objects(power, "PowerSupplies"), link(self._chassis, "Power")
        redundancy, whole = objects(power, "Redundancy"), power
        if not supplies and subsystem:
            source = link(subsystem, "PowerSupplies")
            supplies = list(self._service.members(source)) if source else []
            source = source or link(self._chassis, "PowerSubsystem")
            redundancy, whole = objects(subsystem, "PowerSupplyRedundancy"), subsystem
        # Some controllers instead repeat the group in each of its supplies.
        redundancy = redundancy or [
            group for supply in supplies for group in objects(supply, "Redundancy")
        ]
        self._result.supply = [
            *readings.components(ComponentKind.SUPPLY, supplies),
            *dict.fromkeys(readings.redundancy_groups("power supply", redundancy)),
            *_subsystem("power", whole),
        ]
        self._set_source("supply", source)

    def _power(self, power: Document, subsystem: Document) -> None:
        result, source = readings.power_from_control(power), link(self._chassis, "Power")
        if result.watts is None:
            newer = readings.power_from_environment(self._below("EnvironmentMetrics"), subsystem)
            result = _completed(newer, result)
            source = link(self._chassis, "EnvironmentMetrics") or source
        elif result.capacity_watts is None:
            result = _completed(result, readings.power_from_environment({}, subsystem))
        if result.capacity_watts is None:
            result = dataclasses.replace(result, capacity_watts=_capacity(self._result.supply))
        self._result.power = result
        self._set_source("power", source)

    def _below(self, key: str) -> Document:
        return self._document(link(self._chassis, key))

    def _document(self, path: str | None) -> Document:
        return (self._service.document(path) if path else None) or {}

    def _set_source(self, about: str, path: str | None) -> None:
        if path:
            self._result.sources[about] = self._service.url + path


def _subsystem(name: str, document: Document) -> list[Component]:
    state = health(document)
    return [Component(ComponentKind.SUBSYSTEM, f"{name} subsystem", state)] if state else []


def _completed(power: ChassisPower, other: ChassisPower) -> ChassisPower:
    """Return power with its missing numbers taken from the other one."""
    values = dataclasses.asdict(power).items()
    return ChassisPower(
        **{key: getattr(other, key) if value is None else value for key, value in values}
    )


def _capacity(supply: list[Component]) -> float | None:
    """Return the capacity of all power supplies, if each reports its own."""
    capacities = [item.capacity_watts for item in supply if item.kind is ComponentKind.SUPPLY]
    known = [capacity for capacity in capacities if capacity]
    return sum(known) if known and len(known) == len(capacities) else None
