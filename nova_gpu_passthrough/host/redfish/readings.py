# SPDX-License-Identifier: Apache-2.0
"""Parse numbers and states in Redfish resources.

Names and meanings of the properties are those of DMTF's schemas (DSP8010): Power, Thermal and,
since Redfish 2020.4, PowerSubsystem, PowerSupply, ThermalSubsystem, ThermalMetrics, Fan, Sensor and
EnvironmentMetrics. Controllers omit properties, set them to null and misspell them: a value of
another type than expected counts as not reported.
"""

import enum
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

#: One JSON object.
Document = Mapping[str, Any]

#: Status.State of what is absent or disabled: its readings have no meaning.
_IDLE = frozenset(("Absent", "Disabled"))


class Health(enum.StrEnum):
    """Status.Health."""

    OK = "OK"
    WARNING = "Warning"
    CRITICAL = "Critical"


class ComponentKind(enum.StrEnum):
    """Kind of a component."""

    FAN = "fan"
    SUPPLY = "power supply"
    #: A group whose members replace each other.
    REDUNDANCY = "redundancy"
    #: All components for one purpose.
    SUBSYSTEM = "subsystem"


@dataclass(frozen=True, slots=True)
class Temperature:
    """A temperature sensor, in degrees Celsius."""

    name: str
    celsius: float | None
    health: Health | None = None
    #: Thresholds: beyond caution the temperature is unusual, beyond critical the chassis may shut
    #: down or be damaged.
    caution_above: float | None = None
    critical_above: float | None = None
    caution_below: float | None = None
    critical_below: float | None = None


@dataclass(frozen=True, slots=True)
class Component:
    """A fan, a power supply or a group of them."""

    kind: ComponentKind
    name: str
    health: Health | None = None
    state: str | None = None
    #: Capacity of a power supply.
    capacity_watts: float | None = None

    @property
    def is_group(self) -> bool:
        """Whether it represents several components."""
        return self.kind in (ComponentKind.REDUNDANCY, ComponentKind.SUBSYSTEM)

    @property
    def works(self) -> bool:
        """Whether it is in operation, even if degraded."""
        return self.health is not Health.CRITICAL and self.state != "UnavailableOffline"

    @property
    def is_healthy(self) -> bool:
        """Whether it works and reports no warning."""
        return self.works and self.health is not Health.WARNING


@dataclass(frozen=True, slots=True)
class ChassisPower:
    """Power draw and limits of a chassis, in watts."""

    watts: float | None = None
    #: Maximum in the interval that the controller records.
    peak_watts: float | None = None
    capacity_watts: float | None = None
    #: The controller's power cap; None if there is none.
    limit_watts: float | None = None


@dataclass
class ChassisReadings:
    """The readings of one chassis."""

    name: str
    #: URL of the chassis.
    url: str
    #: URLs of the resources with ``heat``, ``cooling``, ``power`` and ``supply``.
    sources: dict[str, str] = field(default_factory=dict)
    temperatures: list[Temperature] = field(default_factory=list)
    #: Fans, their redundancy, the thermal subsystem.
    cooling: list[Component] = field(default_factory=list)
    #: Power supplies, their redundancy, the power subsystem.
    supply: list[Component] = field(default_factory=list)
    power: ChassisPower = ChassisPower()
    serial: str | None = None

    def source(self, about: str) -> str:
        """Return the URL of the resource with these readings."""
        return self.sources.get(about, self.url)


def number(value: object) -> float | None:
    """Return a finite JSON number; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        result = float(value)
    except OverflowError:
        return None
    return result if math.isfinite(result) else None


def text(value: object) -> str | None:
    """Return a non-empty string; None for anything else. Controllers also use numbers as names."""
    if isinstance(value, str | int) and not isinstance(value, bool):
        return str(value).strip() or None
    return None


def child(document: Document, key: str) -> Document:
    """Return an object in an object; empty if there is none."""
    value = document.get(key)
    return value if isinstance(value, Mapping) else {}


def objects(document: Document, key: str) -> list[Document]:
    """Return the objects in a list; empty if there is no list."""
    value = document.get(key)
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []


def link(document: Document, *keys: str) -> str | None:
    """Return the path in an object's ``@odata.id``, or None."""
    for key in keys:
        document = child(document, key)
    path = document.get("@odata.id")
    # The login is for this service only: paths to another host are ignored.
    return path if isinstance(path, str) and path[:1] == "/" and path[:2] != "//" else None


def health(document: Document) -> Health | None:
    """Return Status.Health."""
    value = child(document, "Status").get("Health")
    return Health(value) if isinstance(value, str) and value in list(Health) else None


def is_idle(document: Document) -> bool:
    """Check whether a document is an empty bay or a disabled sensor."""
    state = child(document, "Status").get("State")
    return isinstance(state, str) and state in _IDLE


def thermal_temperatures(thermal: Document) -> Iterator[Temperature]:
    """Return the temperatures of a Thermal resource."""
    for sensor in objects(thermal, "Temperatures"):
        upper = [_limit(sensor.get(f"UpperThreshold{name}")) for name in _THERMAL_THRESHOLDS]
        lower = [number(sensor.get(f"LowerThreshold{name}")) for name in _THERMAL_THRESHOLDS]
        yield from _temperature(sensor, sensor.get("ReadingCelsius"), upper, lower)


def sensor_temperatures(sensors: Iterable[Document]) -> Iterator[Temperature]:
    """Return the temperatures among Sensor resources."""
    for sensor in sensors:
        if sensor.get("ReadingType") == "Temperature" or sensor.get("ReadingUnits") == "Cel":
            thresholds = child(sensor, "Thresholds")
            upper = [_limit(_threshold(thresholds, f"Upper{name}")) for name in _SENSOR_THRESHOLDS]
            lower = [_threshold(thresholds, f"Lower{name}") for name in _SENSOR_THRESHOLDS]
            yield from _temperature(sensor, sensor.get("Reading"), upper, lower)


def metrics_temperatures(metrics: Document) -> Iterator[Temperature]:
    """Return the temperatures of ThermalMetrics or EnvironmentMetrics, without thresholds."""
    excerpts = objects(metrics, "TemperatureReadingsCelsius")
    for excerpt in excerpts or [child(metrics, "TemperatureCelsius")]:
        celsius = number(excerpt.get("Reading"))
        if celsius is not None:
            uri = text(excerpt.get("DataSourceUri")) or ""
            name = text(excerpt.get("DeviceName")) or uri.rstrip("/").rpartition("/")[2]
            yield Temperature(name or text(excerpt.get("PhysicalContext")) or "chassis", celsius)


def components(kind: ComponentKind, documents: Iterable[Document]) -> Iterator[Component]:
    """Return fans or power supplies without empty bays."""
    for document in documents:
        if not is_idle(document):
            # FanName was Name's predecessor (Thermal 1.0).
            names = (document.get(key) for key in ("Name", "FanName", "Id", "MemberId"))
            yield Component(
                kind,
                next(filter(None, map(text, names)), kind.value),
                health(document),
                text(child(document, "Status").get("State")),
                number(document.get("PowerCapacityWatts")),
            )


def redundancy_groups(purpose: str, documents: Iterable[Document]) -> Iterator[Component]:
    """Return the redundancy groups; groups that are only links are ignored."""
    for document in documents:
        if "Status" in document:
            name = text(document.get("Name")) or f"{purpose} redundancy"
            yield Component(ComponentKind.REDUNDANCY, name, health(document))


def power_from_control(power: Document) -> ChassisPower:
    """Return the power of a chassis from the PowerControl of a Power resource."""
    controls = objects(power, "PowerControl")
    # The first one is for the whole chassis; vendors add others for CPUs or memory.
    first = controls[0] if controls else {}
    return ChassisPower(
        number(first.get("PowerConsumedWatts")),
        _limit(child(first, "PowerMetrics").get("MaxConsumedWatts")),
        _limit(first.get("PowerCapacityWatts")),
        _limit(child(first, "PowerLimit").get("LimitInWatts")),
    )


def power_from_environment(metrics: Document, subsystem: Document) -> ChassisPower:
    """Return the power of a chassis from EnvironmentMetrics and PowerSubsystem."""
    watts = child(metrics, "PowerWatts")
    limit = child(metrics, "PowerLimitWatts")
    return ChassisPower(
        number(watts.get("Reading")),
        _limit(watts.get("PeakReading")),
        _limit(subsystem.get("CapacityWatts")),
        None if limit.get("ControlMode") == "Disabled" else _limit(limit.get("SetPoint")),
    )


_THERMAL_THRESHOLDS = ("NonCritical", "Critical", "Fatal")
_SENSOR_THRESHOLDS = ("Caution", "Critical", "Fatal")


def _temperature(
    sensor: Document,
    reading: object,
    upper: list[float | None],
    lower: list[float | None],
) -> Iterator[Temperature]:
    if is_idle(sensor):
        return
    names = (sensor.get(key) for key in ("Name", "Id", "MemberId"))
    name = next(filter(None, map(text, names)), "sensor")
    critical_above = [value for value in upper[1:] if value is not None]
    critical_below = [value for value in lower[1:] if value is not None]
    yield Temperature(
        name,
        number(reading),
        health(sensor),
        upper[0],
        min(critical_above, default=None),
        lower[0],
        max(critical_below, default=None),
    )


def _threshold(thresholds: Document, name: str) -> float | None:
    threshold = child(thresholds, name)
    if threshold.get("Activation") == "Disabled":
        return None
    return number(threshold.get("Reading"))


def _limit(value: object) -> float | None:
    """Return an upper limit; controllers write 0 for none."""
    limit = number(value)
    return limit if limit is not None and limit > 0 else None
