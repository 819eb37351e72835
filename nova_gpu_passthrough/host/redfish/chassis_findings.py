# SPDX-License-Identifier: Apache-2.0
"""Findings about a chassis: temperatures, cooling, power supplies, power.

Overheating and missing power are failures. A failed component that others replace is a warning: the
chassis still provides what a GPU needs.
"""

import math
from collections.abc import Iterator, Mapping, Sequence

from nova_gpu_passthrough.host.redfish.readings import (
    ChassisPower,
    ChassisReadings,
    Component,
    ComponentKind,
    Health,
    Temperature,
)
from nova_gpu_passthrough.inventory.findings import HOST, Finding, Remedy, Severity

#: Share of the capacity from which a power draw is too high. Several GPUs that go from idle to full
#: power at once draw more than the rest of the capacity.
HIGH_SHARE = 0.8

_WHY_HEAT = (
    "A server drives its GPUs to full power, and the host cannot slow down a card that is passed "
    "through: a card that overheats throttles, or falls off the bus while the server runs."
)
_WHY_POWER = (
    "A server drives its GPUs to full power; a power cap that the host's NVIDIA or AMD driver set "
    "does not apply once the card is passed through, and an overload ends all servers."
)
_FIX_HEAT = (
    "Look for failed fans, blocked air and a hot room, and raise the fan policy in the management "
    "controller; keep GPU servers off the host until it is cool."
)
_FIX_POWER = (
    "Let the management controller cap the GPUs if it can (such a cap also applies to cards that "
    "are passed through), add or distribute power supplies, or run fewer GPUs on the host."
)
_FIX_COOLING = "Replace the fan or fix the cooling before GPU servers use the host."
_FIX_SUPPLY = "Check the supply's cord and feed, or replace it."


def findings_of(readings: ChassisReadings) -> Iterator[Finding]:
    """Return all findings about one chassis."""
    yield from _heat(readings)
    yield from _components(readings, "cooling", readings.cooling, _WHY_HEAT, _FIX_COOLING)
    yield from _components(readings, "supply", readings.supply, _WHY_POWER, _FIX_SUPPLY)
    yield from _power(readings)


def unreadable(url: str, notes: Mapping[str, str]) -> Iterator[Finding]:
    """Report resources that exist and could not be read."""
    for path, problem in sorted(notes.items()):
        yield Finding(
            "redfish.unreadable",
            Severity.WARNING,
            HOST,
            f"{path} {problem}",
            f"{url}{path}" if path.startswith("/") else url,
            "The audit lacks the power and temperatures in this resource.",
            "Try again; look for a newer firmware of the management controller, and give the "
            "account the role ReadOnly.",
        )


def _heat(readings: ChassisReadings) -> Iterator[Finding]:
    source = readings.source("heat")
    sensors = readings.temperatures
    critical = [sensor for sensor in sensors if _severity(sensor) is Severity.FAILURE]
    caution = [sensor for sensor in sensors if _severity(sensor) is Severity.WARNING]
    if critical:
        yield Finding(
            "redfish.temperature_critical",
            Severity.FAILURE,
            HOST,
            f"chassis {readings.name}: {'; '.join(map(_reading_text, critical))}",
            source,
            _WHY_HEAT,
            _FIX_HEAT,
            Remedy.HARDWARE,
        )
    if caution:
        yield Finding(
            "redfish.temperature_caution",
            Severity.WARNING,
            HOST,
            f"chassis {readings.name}: {'; '.join(map(_reading_text, caution))}",
            source,
            _WHY_HEAT,
            _FIX_HEAT,
            Remedy.HARDWARE,
        )
    measured = [sensor for sensor in sensors if sensor.celsius is not None]
    if not measured:
        yield _not_reported(readings, "temperature", "temperatures", source)
    elif not critical and not caution:
        yield Finding(
            "redfish.temperature_fine",
            Severity.OK,
            HOST,
            f"chassis {readings.name}: {_count(len(measured), 'temperature')}, "
            f"{_closest_to_limit(measured)}",
            source,
        )


def _severity(sensor: Temperature) -> Severity:
    if sensor.health is Health.CRITICAL or _is_outside(
        sensor.celsius, sensor.critical_below, sensor.critical_above
    ):
        return Severity.FAILURE
    if sensor.health is Health.WARNING or _is_outside(
        sensor.celsius, sensor.caution_below, sensor.caution_above
    ):
        return Severity.WARNING
    return Severity.OK


def _is_outside(value: float | None, below: float | None, above: float | None) -> bool:
    if value is None:
        return False
    # Exactly at the lower threshold is fine: 0 often means none, and a dead sensor reads 0.
    return (above is not None and value >= above) or (below is not None and value < below)


def _reading_text(sensor: Temperature) -> str:
    """Return the reading of a sensor, and the threshold that it exceeds or its state."""
    celsius = sensor.celsius
    reading = f"{sensor.name} {_degrees(celsius)}"
    if celsius is not None:
        for word, below, above in (
            ("critical", sensor.critical_below, sensor.critical_above),
            ("caution", sensor.caution_below, sensor.caution_above),
        ):
            if above is not None and celsius >= above:
                return f"{reading} ({word} from {_degrees(above)})"
            if below is not None and celsius < below:
                return f"{reading} ({word} below {_degrees(below)})"
    return f"{reading} (the controller reports {sensor.health})"


def _closest_to_limit(measured: Sequence[Temperature]) -> str:
    """Describe the sensor closest to its threshold; or the hottest one without thresholds."""
    limits = [
        (limit - sensor.celsius, sensor, limit)
        for sensor in measured
        if sensor.celsius is not None
        and (limit := sensor.caution_above or sensor.critical_above) is not None
    ]
    if limits:
        _, sensor, limit = min(limits, key=lambda item: item[0])
        return (
            f"closest to its threshold is {sensor.name} with {_degrees(sensor.celsius)} of "
            f"{_degrees(limit)}"
        )
    hottest = max(measured, key=lambda sensor: sensor.celsius or 0)
    return f"the hottest is {hottest.name} with {_degrees(hottest.celsius)}; no thresholds reported"


def _components(
    readings: ChassisReadings, about: str, components: Sequence[Component], why: str, fix: str
) -> Iterator[Finding]:
    source = readings.source(about)
    # A group is Critical if its remaining members do not suffice.
    failed = [item for item in components if item.is_group and item.health is Health.CRITICAL]
    poor = [item for item in components if item not in failed and not item.is_healthy]
    for outcome, severity, affected in (
        ("failed", Severity.FAILURE, failed),
        ("degraded", Severity.WARNING, poor),
    ):
        if affected:
            states = "; ".join(f"{item.name}: {item.health or item.state}" for item in affected)
            yield Finding(
                f"redfish.{about}_{outcome}",
                severity,
                HOST,
                f"chassis {readings.name}: {states}",
                source,
                why,
                fix,
                Remedy.HARDWARE,
            )
    if failed or poor:
        return
    if not any(item.health for item in components):
        quantity = "fans' health" if about == "cooling" else "power supplies' health"
        yield _not_reported(readings, about, quantity, source)
        return
    members = [item for item in components if not item.is_group]
    capacities = [f"{item.capacity_watts:g} W" for item in members if item.capacity_watts]
    kind = ComponentKind.FAN if about == "cooling" else ComponentKind.SUPPLY
    yield Finding(
        f"redfish.{about}_fine",
        Severity.OK,
        HOST,
        f"chassis {readings.name}: {_count(len(members), kind)}"
        + (f" ({', '.join(capacities)})" if capacities else "")
        + ", health OK",
        source,
    )


def _power(readings: ChassisReadings) -> Iterator[Finding]:
    source, power = readings.source("power"), readings.power
    if power.watts is None:
        yield _not_reported(readings, "power", "power draw", source)
        return
    drawn = f"chassis {readings.name}: draws {power.watts:g} W"
    if power.peak_watts:
        drawn += f" (peak {power.peak_watts:g} W)"
    limit, limit_name = _limit(power)
    redundant = _without_largest(readings.supply)
    if limit is None:
        yield Finding(
            "redfish.power_fine", Severity.OK, HOST, f"{drawn}; capacity not reported", source
        )
    else:
        high = power.watts >= HIGH_SHARE * limit
        yield Finding(
            "redfish.power_high" if high else "redfish.power_fine",
            Severity.WARNING if high else Severity.OK,
            HOST,
            f"{drawn} of {limit:g} W {limit_name}, {power.watts / limit:.0%}"
            + (f" (warning from {HIGH_SHARE:.0%})" if high else ""),
            source,
            _WHY_POWER if high else "",
            _FIX_POWER if high else "",
            Remedy.HARDWARE if high else Remedy.NONE,
        )
    if redundant is not None and power.watts > redundant:
        yield Finding(
            "redfish.power_unprotected",
            Severity.WARNING,
            HOST,
            f"{drawn}; without its largest power supply it has {redundant:g} W",
            source,
            "If one power supply or its feed fails, the rest is overloaded, and all servers end.",
            _FIX_POWER,
            Remedy.HARDWARE,
        )


def _limit(power: ChassisPower) -> tuple[float | None, str]:
    """Return the limit of the power draw in watts, and its name."""
    limit = power.limit_watts
    # A limit below the draw is not enforced: controllers also report a limit that is disabled.
    enforced = limit is not None and power.watts is not None and limit >= power.watts
    if limit is not None and enforced and limit < (power.capacity_watts or math.inf):
        return limit, "power limit"
    return power.capacity_watts, "capacity"


def _without_largest(supply: Sequence[Component]) -> float | None:
    """Return the watts left if the largest supply fails; None if unknown or there is only one."""
    working = [
        part.capacity_watts for part in supply if part.kind is ComponentKind.SUPPLY and part.works
    ]
    known = [watts for watts in working if watts]
    return sum(known) - max(known) if len(known) == len(working) > 1 else None


def _not_reported(readings: ChassisReadings, about: str, quantity: str, source: str) -> Finding:
    return Finding(
        f"redfish.{about}_untold",
        Severity.OK,
        HOST,
        f"chassis {readings.name}: the management controller does not report {quantity}",
        source,
    )


def _degrees(celsius: float | None) -> str:
    return "without reading" if celsius is None else f"{celsius:g} degrees C"


def _count(number: int, noun: str) -> str:
    plural = "power supplies" if noun == ComponentKind.SUPPLY else f"{noun}s"
    return f"{number} {noun if number == 1 else plural}"
