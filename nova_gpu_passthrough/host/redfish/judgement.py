# SPDX-License-Identifier: Apache-2.0
"""Findings about a chassis: heat, cooling, power supplies, power.

What overheats or lacks power now is a failure. A part that failed while the others do its work is
a warning: the chassis still does what a GPU needs.
"""

import math
from collections.abc import Iterator, Mapping, Sequence

from nova_gpu_passthrough.host.redfish.readings import (
    Health,
    Kind,
    Part,
    Power,
    Readings,
    Temperature,
)
from nova_gpu_passthrough.inventory.findings import HOST, Finding, Remedy, Severity

#: Share of the capacity from which a draw is too near to it. Several GPUs that go from idle to
#: full power at once raise the draw by more than the rest.
HIGH_SHARE = 0.8

_WHY_HEAT = (
    "A server drives its GPUs to full power, and the host cannot slow down a card that is passed "
    "through: a card that overheats throttles, or falls off the bus while the server runs."
)
_WHY_POWER = (
    "A server drives its GPUs to full power; a power cap that the host's NVIDIA or AMD driver set "
    "does not hold once the card is passed through, and an overload ends all servers."
)
_FIX_HEAT = (
    "Look for failed fans, blocked air and a hot room, and raise the fan policy in the management "
    "controller; keep GPU servers off the host until it is cool."
)
_FIX_POWER = (
    "Let the management controller cap the GPUs where it can (that holds for cards that are "
    "passed through), add or spread power supplies, or run fewer GPUs on the host."
)
_FIX_COOLING = "Replace the fan or fix the cooling before GPU servers use the host."
_FIX_SUPPLY = "Check the supply's cord and feed, or replace it."


def judge(readings: Readings) -> Iterator[Finding]:
    """All findings about one chassis."""
    yield from _heat(readings)
    yield from _parts(readings, "cooling", readings.cooling, _WHY_HEAT, _FIX_COOLING)
    yield from _parts(readings, "supply", readings.supply, _WHY_POWER, _FIX_SUPPLY)
    yield from _power(readings)


def unread(url: str, notes: Mapping[str, str]) -> Iterator[Finding]:
    """What is there and could not be read."""
    for path, problem in sorted(notes.items()):
        yield Finding(
            "redfish.unreadable",
            Severity.WARNING,
            HOST,
            f"{path} {problem}",
            f"{url}{path}" if path.startswith("/") else url,
            "What it would tell about power and heat is missing from the audit.",
            "Try again; look for a newer firmware of the management controller, and give the "
            "account the role ReadOnly.",
        )


def _heat(readings: Readings) -> Iterator[Finding]:
    source = readings.source("heat")
    sensors = readings.temperatures
    critical = [sensor for sensor in sensors if _severity(sensor) is Severity.FAILURE]
    caution = [sensor for sensor in sensors if _severity(sensor) is Severity.WARNING]
    if critical:
        yield Finding(
            "redfish.temperature_critical",
            Severity.FAILURE,
            HOST,
            f"chassis {readings.name}: {'; '.join(map(_said, critical))}",
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
            f"chassis {readings.name}: {'; '.join(map(_said, caution))}",
            source,
            _WHY_HEAT,
            _FIX_HEAT,
            Remedy.HARDWARE,
        )
    measured = [sensor for sensor in sensors if sensor.celsius is not None]
    if not measured:
        yield _untold(readings, "temperature", "temperatures", source)
    elif not critical and not caution:
        yield Finding(
            "redfish.temperature_fine",
            Severity.OK,
            HOST,
            f"chassis {readings.name}: {_count(len(measured), 'temperature')}, "
            f"{_nearest(measured)}",
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
    # Below means below: a threshold of 0 often stands for none, and a dead sensor reads 0.
    return (above is not None and value >= above) or (below is not None and value < below)


def _said(sensor: Temperature) -> str:
    """A sensor that is not well: its reading, and the threshold or state that says so."""
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
    return f"{reading} (the controller says {sensor.health})"


def _nearest(measured: Sequence[Temperature]) -> str:
    """The sensor that is nearest to its threshold; the hottest if none has one."""
    limits = [
        (limit - sensor.celsius, sensor, limit)
        for sensor in measured
        if sensor.celsius is not None
        and (limit := sensor.caution_above or sensor.critical_above) is not None
    ]
    if limits:
        _, sensor, limit = min(limits, key=lambda item: item[0])
        return (
            f"nearest to its threshold is {sensor.name} with {_degrees(sensor.celsius)} of "
            f"{_degrees(limit)}"
        )
    hottest = max(measured, key=lambda sensor: sensor.celsius or 0)
    return f"the hottest is {hottest.name} with {_degrees(hottest.celsius)}; no thresholds told"


def _parts(
    readings: Readings, about: str, parts: Sequence[Part], why: str, fix: str
) -> Iterator[Finding]:
    source = readings.source(about)
    # Of a group, Critical says that the rest does not suffice.
    failed = [part for part in parts if part.is_group and part.health is Health.CRITICAL]
    poor = [part for part in parts if part not in failed and not part.is_well]
    for outcome, severity, culprits in (
        ("failed", Severity.FAILURE, failed),
        ("degraded", Severity.WARNING, poor),
    ):
        if culprits:
            states = "; ".join(f"{part.name}: {part.health or part.state}" for part in culprits)
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
    if not any(part.health for part in parts):
        word = "fans' health" if about == "cooling" else "power supplies' health"
        yield _untold(readings, about, word, source)
        return
    members = [part for part in parts if not part.is_group]
    capacities = [f"{part.capacity_watts:g} W" for part in members if part.capacity_watts]
    kind = Kind.FAN if about == "cooling" else Kind.SUPPLY
    yield Finding(
        f"redfish.{about}_fine",
        Severity.OK,
        HOST,
        f"chassis {readings.name}: {_count(len(members), kind)}"
        + (f" ({', '.join(capacities)})" if capacities else "")
        + ", health OK",
        source,
    )


def _power(readings: Readings) -> Iterator[Finding]:
    source, power = readings.source("power"), readings.power
    if power.watts is None:
        yield _untold(readings, "power", "power draw", source)
        return
    drawn = f"chassis {readings.name}: draws {power.watts:g} W"
    if power.peak_watts:
        drawn += f" (peak {power.peak_watts:g} W)"
    ceiling, word = _ceiling(power)
    single = _without_largest(readings.supply)
    if ceiling is None:
        yield Finding(
            "redfish.power_fine", Severity.OK, HOST, f"{drawn}; capacity not told", source
        )
    else:
        high = power.watts >= HIGH_SHARE * ceiling
        yield Finding(
            "redfish.power_high" if high else "redfish.power_fine",
            Severity.WARNING if high else Severity.OK,
            HOST,
            f"{drawn} of {ceiling:g} W {word}, {power.watts / ceiling:.0%}"
            + (f" (warning from {HIGH_SHARE:.0%})" if high else ""),
            source,
            _WHY_POWER if high else "",
            _FIX_POWER if high else "",
            Remedy.HARDWARE if high else Remedy.NONE,
        )
    if single is not None and power.watts > single:
        yield Finding(
            "redfish.power_unprotected",
            Severity.WARNING,
            HOST,
            f"{drawn}; without its largest power supply it has {single:g} W",
            source,
            "If one power supply or its feed fails, the rest is overloaded, and all servers end.",
            _FIX_POWER,
            Remedy.HARDWARE,
        )


def _ceiling(power: Power) -> tuple[float | None, str]:
    """What the draw has to stay below, and what that is."""
    limit = power.limit_watts
    # A limit below the draw is not enforced: controllers show one that is switched off.
    enforced = limit is not None and power.watts is not None and limit >= power.watts
    if limit is not None and enforced and limit < (power.capacity_watts or math.inf):
        return limit, "power limit"
    return power.capacity_watts, "capacity"


def _without_largest(supply: Sequence[Part]) -> float | None:
    """Watts that are left if the largest power supply fails; None if unknown or there is one."""
    working = [part.capacity_watts for part in supply if part.kind is Kind.SUPPLY and part.works]
    known = [watts for watts in working if watts]
    return sum(known) - max(known) if len(known) == len(working) > 1 else None


def _untold(readings: Readings, about: str, word: str, source: str) -> Finding:
    return Finding(
        f"redfish.{about}_untold",
        Severity.OK,
        HOST,
        f"chassis {readings.name}: the management controller does not tell {word}",
        source,
    )


def _degrees(celsius: float | None) -> str:
    return "without reading" if celsius is None else f"{celsius:g} degrees C"


def _count(number: int, noun: str) -> str:
    plural = "power supplies" if noun == Kind.SUPPLY else f"{noun}s"
    return f"{number} {noun if number == 1 else plural}"
