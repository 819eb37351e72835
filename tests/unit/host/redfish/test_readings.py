# SPDX-License-Identifier: Apache-2.0
"""Parsing readings in Redfish resources."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nova_gpu_passthrough.host.redfish import chassis_findings, readings
from nova_gpu_passthrough.host.redfish.readings import (
    ChassisReadings,
    ComponentKind,
    Health,
    Temperature,
)

KEYS = [
    "Temperatures",
    "Fans",
    "Redundancy",
    "Status",
    "Health",
    "State",
    "Name",
    "FanName",
    "MemberId",
    "Id",
    "ReadingCelsius",
    "UpperThresholdNonCritical",
    "UpperThresholdCritical",
    "LowerThresholdFatal",
    "ReadingType",
    "Reading",
    "ReadingUnits",
    "Thresholds",
    "UpperCaution",
    "LowerCritical",
    "Activation",
    "PowerControl",
    "PowerConsumedWatts",
    "PowerCapacityWatts",
    "PowerLimit",
    "LimitInWatts",
    "PowerMetrics",
    "MaxConsumedWatts",
    "PowerWatts",
    "PowerLimitWatts",
    "SetPoint",
    "ControlMode",
    "CapacityWatts",
    "TemperatureReadingsCelsius",
    "TemperatureCelsius",
    "DataSourceUri",
    "DeviceName",
    "@odata.id",
]
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(10**400), 10**400)
    | st.floats()
    | st.text(max_size=4)
    | st.sampled_from(["OK", "Warning", "Critical", "Absent", "Temperature", "Cel", "/a", "//b"])
)
JSON = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=6)
    ),
    max_leaves=25,
)
DOCUMENTS = st.dictionaries(st.sampled_from(KEYS), JSON, max_size=8)


@given(DOCUMENTS, DOCUMENTS)
def test_any_document_is_read_and_judged(one, other):
    result = ChassisReadings("1", "https://bmc.example/redfish/v1/Chassis/1")
    result.temperatures = [
        *readings.thermal_temperatures(one),
        *readings.sensor_temperatures([one, other]),
        *readings.metrics_temperatures(one),
    ]
    result.cooling = [
        *readings.components(ComponentKind.FAN, readings.objects(one, "Fans")),
        *readings.redundancy_groups("fan", readings.objects(one, "Redundancy")),
    ]
    result.supply = list(readings.components(ComponentKind.SUPPLY, [one, other]))
    for power in (readings.power_from_control(one), readings.power_from_environment(one, other)):
        result.power = power
        findings = list(chassis_findings.findings_of(result))
        assert {finding.id.split("_")[0] for finding in findings} >= {
            "redfish.temperature",
            "redfish.cooling",
            "redfish.supply",
            "redfish.power",
        }
    assert readings.link(one) is None or not readings.link(one).startswith("//")


@pytest.mark.parametrize("value", [None, True, "41", [41], float("nan"), 10**400])
def test_only_finite_numbers_are_readings(value):
    assert readings.number(value) is None


def test_legacy_thresholds_keep_their_decimals_and_zero_is_no_upper_one():
    thermal = {
        "Temperatures": [
            {
                "Name": "GPU",
                "ReadingCelsius": 70.5,
                "UpperThresholdNonCritical": 0,
                "UpperThresholdCritical": 92.5,
                "UpperThresholdFatal": 90.25,
                "LowerThresholdCritical": -5,
            }
        ]
    }
    assert list(readings.thermal_temperatures(thermal)) == [
        Temperature("GPU", 70.5, critical_above=90.25, critical_below=-5)
    ]


def test_an_empty_bay_and_a_disabled_sensor_are_ignored():
    absent, disabled = {"Status": {"State": "Absent"}}, {"Status": {"State": "Disabled"}}
    assert not list(readings.components(ComponentKind.SUPPLY, [absent]))
    assert not list(readings.thermal_temperatures({"Temperatures": [absent, disabled]}))


def test_sensors_of_other_quantities_are_ignored():
    sensors = [
        {"Name": "12 V", "ReadingType": "Voltage", "Reading": 12.1},
        {
            "Name": "GPU",
            "ReadingUnits": "Cel",
            "Reading": 50,
            "Thresholds": {
                "UpperCaution": {"Reading": 80, "Activation": "Disabled"},
                "UpperCritical": {"Reading": 90, "Activation": "Increasing"},
            },
            "Status": {"Health": "OK"},
        },
    ]
    assert list(readings.sensor_temperatures(sensors)) == [
        Temperature("GPU", 50, Health.OK, critical_above=90)
    ]


def test_an_excerpt_is_named_after_its_sensor():
    metrics = {
        "TemperatureReadingsCelsius": [
            {"Reading": 30, "DataSourceUri": "/redfish/v1/Chassis/1/Sensors/Inlet"},
            {"Reading": 31, "DeviceName": "Outlet", "DataSourceUri": "/x/y"},
            {"Reading": None, "DeviceName": "dead"},
        ]
    }
    names = [sensor.name for sensor in readings.metrics_temperatures(metrics)]
    assert names == ["Inlet", "Outlet"]


def test_the_power_is_that_of_the_first_control():
    power = {
        "PowerControl": [
            {"PowerConsumedWatts": 900, "PowerCapacityWatts": 0, "PowerLimit": None},
            {"PowerConsumedWatts": 300, "PowerCapacityWatts": 400},
        ]
    }
    assert readings.power_from_control(power) == readings.ChassisPower(900)


def test_a_disabled_power_limit_is_none():
    metrics = {
        "PowerWatts": {"Reading": 10},
        "PowerLimitWatts": {"SetPoint": 2488, "ControlMode": "Disabled"},
    }
    assert readings.power_from_environment(
        metrics, {"CapacityWatts": 100}
    ) == readings.ChassisPower(10, None, 100)


@pytest.mark.parametrize("path", ["//evil.example/x", "https://evil.example/x", "x", "", 7, None])
def test_links_to_other_hosts_are_not_followed(path):
    assert readings.link({"Power": {"@odata.id": path}}, "Power") is None
