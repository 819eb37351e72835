# SPDX-License-Identifier: Apache-2.0
"""Findings about a chassis."""

import dataclasses

import pytest

from nova_gpu_passthrough.host.redfish.chassis_findings import findings_of, unreadable
from nova_gpu_passthrough.host.redfish.readings import (
    ChassisPower,
    ChassisReadings,
    Component,
    ComponentKind,
    Health,
    Temperature,
)
from nova_gpu_passthrough.inventory.findings import Remedy, Severity

URL = "https://bmc.example/redfish/v1/Chassis/1"
GPU = Temperature("GPU 1", 60, Health.OK, caution_above=85, critical_above=92)
FANS = [Component(ComponentKind.FAN, f"Fan {number}", Health.OK) for number in (1, 2)]
SUPPLIES = [
    Component(ComponentKind.SUPPLY, f"PSU{number}", Health.OK, "Enabled", 3000)
    for number in range(1, 5)
]


def findings_by_id(**changes):
    """Return the findings by id about a healthy chassis with these changes."""
    defaults = {
        "temperatures": [GPU],
        "cooling": FANS,
        "supply": SUPPLIES,
        "power": ChassisPower(4000, 7000, 12000),
    }
    return {
        finding.id.removeprefix("redfish."): finding
        for finding in findings_of(ChassisReadings("1", URL, **defaults | changes))
    }


def test_a_healthy_chassis_gives_numbers_and_units():
    findings = findings_by_id()
    assert {finding.severity for finding in findings.values()} == {Severity.OK}
    assert [finding.found for finding in findings.values()] == [
        "chassis 1: 1 temperature, closest to its threshold is GPU 1 with 60 degrees C of 85 degrees C",  # noqa: E501
        "chassis 1: 2 fans, health OK",
        "chassis 1: 4 power supplies (3000 W, 3000 W, 3000 W, 3000 W), health OK",
        "chassis 1: draws 4000 W (peak 7000 W) of 12000 W capacity, 33%",
    ]


def test_missing_readings_are_no_fault():
    findings = findings_by_id(temperatures=[], cooling=[], supply=[], power=ChassisPower())
    assert set(findings) == {
        "temperature_untold",
        "cooling_untold",
        "supply_untold",
        "power_untold",
    }
    assert {finding.severity for finding in findings.values()} == {Severity.OK}


@pytest.mark.parametrize(
    "change, outcome, words",
    [
        ({"celsius": 84.9}, "fine", "of 85 degrees C"),
        ({"celsius": 85}, "caution", "GPU 1 85 degrees C (caution from 85 degrees C)"),
        ({"celsius": 92}, "critical", "GPU 1 92 degrees C (critical from 92 degrees C)"),
        ({"critical_below": 5, "celsius": 4}, "critical", "(critical below 5 degrees C)"),
        ({"critical_below": 0, "celsius": 0}, "fine", "GPU 1 with 0 degrees C"),
        ({"health": Health.WARNING}, "caution", "(the controller reports Warning)"),
        ({"health": Health.CRITICAL}, "critical", "GPU 1 60 degrees C (the controller reports"),
        ({"health": Health.CRITICAL, "celsius": None}, "critical", "GPU 1 without reading"),
        # If the controller's health and the threshold disagree, the worse one counts.
        ({"health": Health.CRITICAL, "celsius": 86}, "critical", "caution from 85"),
        ({"caution_above": None, "critical_above": None}, "fine", "the hottest is GPU 1"),
    ],
)
def test_temperatures_are_judged_by_threshold_and_health(change, outcome, words):
    finding = findings_by_id(temperatures=[dataclasses.replace(GPU, **change)])[
        f"temperature_{outcome}"
    ]
    assert words in finding.found
    severities = {"critical": Severity.FAILURE, "caution": Severity.WARNING}
    assert finding.severity is severities.get(outcome, Severity.OK)
    assert bool(finding.why and finding.fix) is (outcome != "fine")


def test_hot_sensors_of_one_chassis_are_one_finding():
    hot = [dataclasses.replace(GPU, name=f"GPU {number}", celsius=95) for number in (1, 2)]
    findings = findings_by_id(temperatures=[*hot, GPU])
    assert findings["temperature_critical"].found.count("critical from") == 2
    assert "temperature_fine" not in findings


@pytest.mark.parametrize("about", ["cooling", "supply"])
@pytest.mark.parametrize(
    "kind, health, outcome",
    [
        ("member", Health.CRITICAL, "degraded"),
        ("member", Health.WARNING, "degraded"),
        (ComponentKind.REDUNDANCY, Health.WARNING, "degraded"),
        (ComponentKind.REDUNDANCY, Health.CRITICAL, "failed"),
        (ComponentKind.SUBSYSTEM, Health.CRITICAL, "failed"),
        (ComponentKind.SUBSYSTEM, Health.OK, "fine"),
    ],
)
def test_a_failed_component_is_a_warning_lost_redundancy_a_failure(about, kind, health, outcome):
    parts = {"cooling": FANS, "supply": SUPPLIES}[about]
    kind = parts[0].kind if kind == "member" else kind
    finding = findings_by_id(**{about: [*parts, Component(kind, "bad one", health)]})[
        f"{about}_{outcome}"
    ]
    severities = {"degraded": Severity.WARNING, "failed": Severity.FAILURE, "fine": Severity.OK}
    assert finding.severity is severities[outcome]
    assert (finding.remedy is Remedy.HARDWARE) is (outcome != "fine")
    assert ("bad one: " in finding.found) is (outcome != "fine")


def test_a_supply_without_feed_is_degraded():
    supply = [*SUPPLIES, Component(ComponentKind.SUPPLY, "PSU9", None, "UnavailableOffline", 3000)]
    assert "PSU9: UnavailableOffline" in findings_by_id(supply=supply)["supply_degraded"].found


@pytest.mark.parametrize(
    "power, outcome, words",
    [
        (ChassisPower(7999, None, 10000), "fine", "7999 W of 10000 W capacity, 80%"),
        (
            ChassisPower(8000, None, 10000),
            "high",
            "8000 W of 10000 W capacity, 80% (warning from 80%)",
        ),
        (ChassisPower(8000, None, None), "fine", "capacity not reported"),
        (ChassisPower(8000, None, 12000, 9000), "high", "9000 W power limit"),
        # An exceeded limit is reported by the controller, but not enforced.
        (ChassisPower(8000, None, 12000, 500), "fine", "12000 W capacity"),
        (ChassisPower(8000, None, None, 9000), "high", "9000 W power limit"),
    ],
)
def test_power_is_judged_against_its_limit(power, outcome, words):
    finding = findings_by_id(power=power)[f"power_{outcome}"]
    assert words in finding.found
    assert (finding.severity is Severity.WARNING) is (outcome == "high")


@pytest.mark.parametrize(
    "watts, supply, unprotected",
    [
        (9000, SUPPLIES, False),
        (9001, SUPPLIES, True),
        # One supply has failed: three are left, and two if another fails.
        (
            6001,
            [
                *SUPPLIES[1:],
                Component(ComponentKind.SUPPLY, "PSU1", Health.CRITICAL, "Enabled", 3000),
            ],
            True,
        ),
        (2999, SUPPLIES[:1], False),
        (9001, [*SUPPLIES[1:], Component(ComponentKind.SUPPLY, "PSU1", Health.OK)], False),
    ],
)
def test_the_power_must_be_provided_without_the_largest_supply(watts, supply, unprotected):
    findings = findings_by_id(supply=supply, power=ChassisPower(watts, None, 99999))
    assert ("power_unprotected" in findings) is unprotected


def test_unreadable_resources_are_named_with_the_reason():
    (finding,) = unreadable(
        "https://bmc.example", {"/redfish/v1/x": "is forbidden for this account"}
    )
    assert finding.severity is Severity.WARNING
    assert finding.found == "/redfish/v1/x is forbidden for this account"
    assert finding.source == "https://bmc.example/redfish/v1/x"
