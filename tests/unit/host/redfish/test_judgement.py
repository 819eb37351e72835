# SPDX-License-Identifier: Apache-2.0
"""What is found out about a chassis."""

import dataclasses

import pytest

from nova_gpu_passthrough.host.redfish.judgement import judge, unread
from nova_gpu_passthrough.host.redfish.readings import (
    Health,
    Kind,
    Part,
    Power,
    Readings,
    Temperature,
)
from nova_gpu_passthrough.inventory.findings import Remedy, Severity

URL = "https://bmc.example/redfish/v1/Chassis/1"
GPU = Temperature("GPU 1", 60, Health.OK, caution_above=85, critical_above=92)
FANS = [Part(Kind.FAN, f"Fan {number}", Health.OK) for number in (1, 2)]
SUPPLIES = [Part(Kind.SUPPLY, f"PSU{number}", Health.OK, "Enabled", 3000) for number in range(1, 5)]


def found(**told):
    """Findings by id about a chassis that is well but for what is given."""
    defaults = {
        "temperatures": [GPU],
        "cooling": FANS,
        "supply": SUPPLIES,
        "power": Power(4000, 7000, 12000),
    }
    return {
        finding.id.removeprefix("redfish."): finding
        for finding in judge(Readings("1", URL, **defaults | told))
    }


def test_a_chassis_that_is_well_gives_numbers_and_units():
    findings = found()
    assert {finding.severity for finding in findings.values()} == {Severity.OK}
    assert [finding.found for finding in findings.values()] == [
        "chassis 1: 1 temperature, nearest to its threshold is GPU 1 with 60 degrees C of 85 degrees C",  # noqa: E501
        "chassis 1: 2 fans, health OK",
        "chassis 1: 4 power supplies (3000 W, 3000 W, 3000 W, 3000 W), health OK",
        "chassis 1: draws 4000 W (peak 7000 W) of 12000 W capacity, 33%",
    ]


def test_what_is_not_told_is_no_fault():
    findings = found(temperatures=[], cooling=[], supply=[], power=Power())
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
        ({"health": Health.WARNING}, "caution", "(the controller says Warning)"),
        ({"health": Health.CRITICAL}, "critical", "GPU 1 60 degrees C (the controller says"),
        ({"health": Health.CRITICAL, "celsius": None}, "critical", "GPU 1 without reading"),
        # The controller's word and the threshold disagree: the worse one counts.
        ({"health": Health.CRITICAL, "celsius": 86}, "critical", "caution from 85"),
        ({"caution_above": None, "critical_above": None}, "fine", "the hottest is GPU 1"),
    ],
)
def test_temperatures_are_judged_by_threshold_and_health(change, outcome, words):
    finding = found(temperatures=[dataclasses.replace(GPU, **change)])[f"temperature_{outcome}"]
    assert words in finding.found
    severities = {"critical": Severity.FAILURE, "caution": Severity.WARNING}
    assert finding.severity is severities.get(outcome, Severity.OK)
    assert bool(finding.why and finding.fix) is (outcome != "fine")


def test_hot_sensors_of_one_chassis_are_one_finding():
    hot = [dataclasses.replace(GPU, name=f"GPU {number}", celsius=95) for number in (1, 2)]
    findings = found(temperatures=[*hot, GPU])
    assert findings["temperature_critical"].found.count("critical from") == 2
    assert "temperature_fine" not in findings


@pytest.mark.parametrize("about", ["cooling", "supply"])
@pytest.mark.parametrize(
    "kind, health, outcome",
    [
        ("member", Health.CRITICAL, "degraded"),
        ("member", Health.WARNING, "degraded"),
        (Kind.REDUNDANCY, Health.WARNING, "degraded"),
        (Kind.REDUNDANCY, Health.CRITICAL, "failed"),
        (Kind.SUBSYSTEM, Health.CRITICAL, "failed"),
        (Kind.SUBSYSTEM, Health.OK, "fine"),
    ],
)
def test_a_failed_part_warns_and_lost_redundancy_fails(about, kind, health, outcome):
    parts = {"cooling": FANS, "supply": SUPPLIES}[about]
    kind = parts[0].kind if kind == "member" else kind
    finding = found(**{about: [*parts, Part(kind, "bad one", health)]})[f"{about}_{outcome}"]
    severities = {"degraded": Severity.WARNING, "failed": Severity.FAILURE, "fine": Severity.OK}
    assert finding.severity is severities[outcome]
    assert (finding.remedy is Remedy.HARDWARE) is (outcome != "fine")
    assert ("bad one: " in finding.found) is (outcome != "fine")


def test_a_supply_without_feed_is_degraded():
    supply = [*SUPPLIES, Part(Kind.SUPPLY, "PSU9", None, "UnavailableOffline", 3000)]
    assert "PSU9: UnavailableOffline" in found(supply=supply)["supply_degraded"].found


@pytest.mark.parametrize(
    "power, outcome, words",
    [
        (Power(7999, None, 10000), "fine", "7999 W of 10000 W capacity, 80%"),
        (Power(8000, None, 10000), "high", "8000 W of 10000 W capacity, 80% (warning from 80%)"),
        (Power(8000, None, None), "fine", "capacity not told"),
        (Power(8000, None, 12000, 9000), "high", "9000 W power limit"),
        # A limit that is exceeded is shown, but not in force.
        (Power(8000, None, 12000, 500), "fine", "12000 W capacity"),
        (Power(8000, None, None, 9000), "high", "9000 W power limit"),
    ],
)
def test_power_is_judged_against_what_it_must_stay_below(power, outcome, words):
    finding = found(power=power)[f"power_{outcome}"]
    assert words in finding.found
    assert (finding.severity is Severity.WARNING) is (outcome == "high")


@pytest.mark.parametrize(
    "watts, supply, unprotected",
    [
        (9000, SUPPLIES, False),
        (9001, SUPPLIES, True),
        # One has failed already: three are left, and two if one more fails.
        (6001, [*SUPPLIES[1:], Part(Kind.SUPPLY, "PSU1", Health.CRITICAL, "Enabled", 3000)], True),
        (2999, SUPPLIES[:1], False),
        (9001, [*SUPPLIES[1:], Part(Kind.SUPPLY, "PSU1", Health.OK)], False),
    ],
)
def test_power_must_be_carried_without_the_largest_supply(watts, supply, unprotected):
    findings = found(supply=supply, power=Power(watts, None, 99999))
    assert ("power_unprotected" in findings) is unprotected


def test_unread_resources_are_named_with_the_reason():
    (finding,) = unread("https://bmc.example", {"/redfish/v1/x": "is refused to this account"})
    assert finding.severity is Severity.WARNING
    assert finding.found == "/redfish/v1/x is refused to this account"
    assert finding.source == "https://bmc.example/redfish/v1/x"
