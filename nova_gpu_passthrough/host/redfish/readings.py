# SPDX-License-Identifier: Apache-2.0
"""Numbers and states in Redfish's answers.

Names and meanings of the properties are those of DMTF's schemas (DSP8010): Power, Thermal and,
since Redfish 2020.4, PowerSubsystem, PowerSupply, ThermalSubsystem, ThermalMetrics, Fan, Sensor and
EnvironmentMetrics. Controllers leave out, null and misspell at will: what is not of the expected
type counts as not told.
"""

import enum
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

#: One JSON object.
Document = Mapping[str, Any]

#: Status.State of what is not there, or switched off: its readings mean nothing.
_IDLE = frozenset(("Absent", "Disabled"))


class Health(enum.StrEnum):
    """Status.Health."""

    OK = "OK"
    WARNING = "Warning"
    CRITICAL = "Critical"


class Kind(enum.StrEnum):
    """What a part is."""

    FAN = "fan"
    SUPPLY = "power supply"
    #: Parts of which some may fail.
    REDUNDANCY = "redundancy"
    #: All parts for one purpose.
    SUBSYSTEM = "subsystem"


@dataclass(frozen=True, slots=True)
class Temperature:
    """A temperature sensor, in degrees Celsius."""

    name: str
    celsius: float | None
    health: Health | None = None
    #: Thresholds: unusual from here, damage or shutdown ahead from here.
    caution_above: float | None = None
    critical_above: float | None = None
    caution_below: float | None = None
    critical_below: float | None = None


@dataclass(frozen=True, slots=True)
class Part:
    """A fan, a power supply or a group of them."""

    kind: Kind
    name: str
    health: Health | None = None
    state: str | None = None
    #: Of a power supply.
    capacity_watts: float | None = None

    @property
    def is_group(self) -> bool:
        """Whether it stands for several parts."""
        return self.kind in (Kind.REDUNDANCY, Kind.SUBSYSTEM)

    @property
    def works(self) -> bool:
        """Whether it does its work, well or not."""
        return self.health is not Health.CRITICAL and self.state != "UnavailableOffline"

    @property
    def is_well(self) -> bool:
        """Whether it works and nothing is told against it."""
        return self.works and self.health is not Health.WARNING


@dataclass(frozen=True, slots=True)
class Power:
    """What a chassis draws and may draw, in watts."""

    watts: float | None = None
    #: Most in the interval that the controller keeps.
    peak_watts: float | None = None
    capacity_watts: float | None = None
    #: The controller's power cap; None: there is none.
    limit_watts: float | None = None


@dataclass
class Readings:
    """What one chassis tells."""

    name: str
    #: URL of the chassis, and of the resources that told about ``heat``, ``cooling``, ``power``
    #: and ``supply``.
    url: str
    sources: dict[str, str] = field(default_factory=dict)
    temperatures: list[Temperature] = field(default_factory=list)
    #: Fans, their redundancy, the thermal subsystem.
    cooling: list[Part] = field(default_factory=list)
    #: Power supplies, their redundancy, the power subsystem.
    supply: list[Part] = field(default_factory=list)
    power: Power = Power()

    def source(self, about: str) -> str:
        """URL of what told about something."""
        return self.sources.get(about, self.url)


def number(value: object) -> float | None:
    """A JSON number; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        result = float(value)
    except OverflowError:
        return None
    return result if math.isfinite(result) else None


def text(value: object) -> str | None:
    """A string that is not empty; controllers also give numbers as names."""
    if isinstance(value, str | int) and not isinstance(value, bool):
        return str(value).strip() or None
    return None


def part(document: Document, key: str) -> Document:
    """An object in an object; empty if there is none."""
    value = document.get(key)
    return value if isinstance(value, Mapping) else {}


def entries(document: Document, key: str) -> list[Document]:
    """The objects in a list; empty if there is none."""
    value = document.get(key)
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []


def link(document: Document, *keys: str) -> str | None:
    """Where an object's ``@odata.id`` leads: a path on the same service, or None."""
    for key in keys:
        document = part(document, key)
    path = document.get("@odata.id")
    # The login is for this service only: no path that names another host is followed.
    return path if isinstance(path, str) and path[:1] == "/" and path[:2] != "//" else None


def health(document: Document) -> Health | None:
    """Status.Health."""
    value = part(document, "Status").get("Health")
    return Health(value) if isinstance(value, str) and value in list(Health) else None


def is_idle(document: Document) -> bool:
    """Whether it is an empty bay, or a sensor that is switched off."""
    state = part(document, "Status").get("State")
    return isinstance(state, str) and state in _IDLE


def thermal_temperatures(thermal: Document) -> Iterator[Temperature]:
    """Temperatures of a Thermal resource."""
    for sensor in entries(thermal, "Temperatures"):
        upper = [_limit(sensor.get(f"UpperThreshold{name}")) for name in _LEGACY]
        lower = [number(sensor.get(f"LowerThreshold{name}")) for name in _LEGACY]
        yield from _temperature(sensor, sensor.get("ReadingCelsius"), upper, lower)


def sensor_temperatures(sensors: Iterable[Document]) -> Iterator[Temperature]:
    """Those Sensor resources that are of temperatures."""
    for sensor in sensors:
        if sensor.get("ReadingType") == "Temperature" or sensor.get("ReadingUnits") == "Cel":
            thresholds = part(sensor, "Thresholds")
            upper = [_limit(_threshold(thresholds, f"Upper{name}")) for name in _CURRENT]
            lower = [_threshold(thresholds, f"Lower{name}") for name in _CURRENT]
            yield from _temperature(sensor, sensor.get("Reading"), upper, lower)


def metrics_temperatures(metrics: Document) -> Iterator[Temperature]:
    """Excerpts of sensors in ThermalMetrics, or the one in EnvironmentMetrics: no thresholds."""
    excerpts = entries(metrics, "TemperatureReadingsCelsius")
    for excerpt in excerpts or [part(metrics, "TemperatureCelsius")]:
        celsius = number(excerpt.get("Reading"))
        if celsius is not None:
            place = text(excerpt.get("DataSourceUri")) or ""
            name = text(excerpt.get("DeviceName")) or place.rstrip("/").rpartition("/")[2]
            yield Temperature(name or text(excerpt.get("PhysicalContext")) or "chassis", celsius)


def parts(kind: Kind, documents: Iterable[Document]) -> Iterator[Part]:
    """Fans or power supplies; empty bays are none."""
    for document in documents:
        if not is_idle(document):
            # FanName was Name's predecessor (Thermal 1.0).
            names = (document.get(key) for key in ("Name", "FanName", "Id", "MemberId"))
            yield Part(
                kind,
                next(filter(None, map(text, names)), kind.value),
                health(document),
                text(part(document, "Status").get("State")),
                number(document.get("PowerCapacityWatts")),
            )


def groups(purpose: str, documents: Iterable[Document]) -> Iterator[Part]:
    """Redundancy groups; those that are mere links say nothing."""
    for document in documents:
        if "Status" in document:
            name = text(document.get("Name")) or f"{purpose} redundancy"
            yield Part(Kind.REDUNDANCY, name, health(document))


def control(power: Document) -> Power:
    """Power of a chassis, from the PowerControl of a Power resource."""
    controls = entries(power, "PowerControl")
    # The first one is of the whole chassis; vendors add further ones of CPUs or memory.
    first = controls[0] if controls else {}
    return Power(
        number(first.get("PowerConsumedWatts")),
        _limit(part(first, "PowerMetrics").get("MaxConsumedWatts")),
        _limit(first.get("PowerCapacityWatts")),
        _limit(part(first, "PowerLimit").get("LimitInWatts")),
    )


def environment(metrics: Document, subsystem: Document) -> Power:
    """Power of a chassis, from EnvironmentMetrics and PowerSubsystem."""
    watts = part(metrics, "PowerWatts")
    limit = part(metrics, "PowerLimitWatts")
    return Power(
        number(watts.get("Reading")),
        _limit(watts.get("PeakReading")),
        _limit(subsystem.get("CapacityWatts")),
        None if limit.get("ControlMode") == "Disabled" else _limit(limit.get("SetPoint")),
    )


_LEGACY = ("NonCritical", "Critical", "Fatal")
_CURRENT = ("Caution", "Critical", "Fatal")


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
    threshold = part(thresholds, name)
    if threshold.get("Activation") == "Disabled":
        return None
    return number(threshold.get("Reading"))


def _limit(value: object) -> float | None:
    """An upper limit; controllers write 0 where there is none."""
    limit = number(value)
    return limit if limit is not None and limit > 0 else None
