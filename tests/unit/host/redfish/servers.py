# SPDX-License-Identifier: Apache-2.0
"""Documents of two synthetic management controllers, following DMTF's schemas (DSP8010).

One has Power and Thermal, the other only the resources that replace them. Nothing was recorded.
"""

import copy

ROOT = "/redfish/v1/"
SYSTEM = "/redfish/v1/Systems/1"
CHASSIS = "/redfish/v1/Chassis/1U"
GOOD = {"State": "Enabled", "Health": "OK"}


def links(*paths):
    return [{"@odata.id": path} for path in paths]


def collection(*paths):
    return {"Members": links(*paths), "Members@odata.count": len(paths)}


def frame(chassis, *, systems=(SYSTEM,), linked=(CHASSIS,)):
    """Return service root, system and one chassis with these properties."""
    return {
        ROOT: {
            "Id": "RootService",
            "RedfishVersion": "1.15.0",
            "Systems": {"@odata.id": "/redfish/v1/Systems"},
            "Chassis": {"@odata.id": "/redfish/v1/Chassis"},
            "Links": {"Sessions": {"@odata.id": "/redfish/v1/SessionService/Sessions"}},
        },
        "/redfish/v1/Systems": collection(*systems),
        "/redfish/v1/Chassis": collection(CHASSIS),
        **{
            path: {"Id": path.rpartition("/")[2], "Links": {"Chassis": links(*linked)}}
            for path in systems
        },
        CHASSIS: {"Id": "1U", "Name": "Chassis", **chassis},
    }


def legacy():
    """Return a chassis for eight GPUs with the resources Power and Thermal."""
    documents = frame(
        {
            "Power": {"@odata.id": f"{CHASSIS}/Power"},
            "Thermal": {"@odata.id": f"{CHASSIS}/Thermal"},
        }
    )
    supplies = [
        {
            "MemberId": str(number),
            "Name": f"PSU{number}",
            "PowerCapacityWatts": 3300,
            "Status": GOOD,
        }
        for number in range(6)
    ]
    documents[f"{CHASSIS}/Power"] = {
        "Id": "Power",
        "PowerControl": [
            {
                "MemberId": "0",
                "Name": "System Power Control",
                "PowerConsumedWatts": 4210.5,
                "PowerCapacityWatts": 13200,
                "PowerMetrics": {"MaxConsumedWatts": 9800, "IntervalInMin": 60},
                "PowerLimit": {"LimitInWatts": None},
            },
            {"MemberId": "1", "Name": "CPU", "PowerConsumedWatts": 300},
        ],
        "PowerSupplies": supplies,
        "Redundancy": [{"MemberId": "0", "Name": "PSU Redundancy", "Status": GOOD}],
    }
    documents[f"{CHASSIS}/Thermal"] = {
        "Id": "Thermal",
        "Temperatures": [
            {
                "MemberId": "0",
                "Name": "Inlet",
                "ReadingCelsius": 24,
                "UpperThresholdNonCritical": 38,
                "UpperThresholdCritical": 42,
                "Status": GOOD,
            },
            {
                "MemberId": "1",
                "Name": "GPU 1",
                "ReadingCelsius": 61.5,
                "UpperThresholdNonCritical": 88,
                "UpperThresholdCritical": 92,
                "UpperThresholdFatal": 95,
                "Status": GOOD,
            },
            {"MemberId": "2", "Name": "GPU 2", "Status": {"State": "Absent"}},
        ],
        "Fans": [
            {"MemberId": "0", "Name": "Fan 1", "Reading": 9000, "Status": GOOD},
            {"MemberId": "1", "Name": "Fan 2", "Reading": 9000, "Status": GOOD},
        ],
    }
    return copy.deepcopy(documents)


def current():
    """Return a chassis with subsystems, sensors and metrics instead of Power and Thermal."""
    power, thermal = f"{CHASSIS}/PowerSubsystem", f"{CHASSIS}/ThermalSubsystem"
    documents = frame(
        {
            "PowerSubsystem": {"@odata.id": power},
            "ThermalSubsystem": {"@odata.id": thermal},
            "EnvironmentMetrics": {"@odata.id": f"{CHASSIS}/EnvironmentMetrics"},
            "Sensors": {"@odata.id": f"{CHASSIS}/Sensors"},
        }
    )
    documents |= {
        power: {
            "CapacityWatts": 12000,
            "PowerSupplies": {"@odata.id": f"{power}/PowerSupplies"},
            "PowerSupplyRedundancy": [{"RedundancyType": "NPlusM", "Status": GOOD}],
            "Status": GOOD,
        },
        f"{power}/PowerSupplies": collection(
            f"{power}/PowerSupplies/1", f"{power}/PowerSupplies/2"
        ),
        f"{power}/PowerSupplies/1": {
            "Id": "1",
            "Name": "Bay 1",
            "PowerCapacityWatts": 6000,
            "Status": GOOD,
        },
        f"{power}/PowerSupplies/2": {
            "Id": "2",
            "Name": "Bay 2",
            "PowerCapacityWatts": 6000,
            "Status": GOOD,
        },
        thermal: {
            "Fans": {"@odata.id": f"{thermal}/Fans"},
            "ThermalMetrics": {"@odata.id": f"{thermal}/ThermalMetrics"},
            "Status": GOOD,
        },
        f"{thermal}/Fans": collection(f"{thermal}/Fans/1"),
        f"{thermal}/Fans/1": {"Id": "1", "Name": "Fan 1", "Status": GOOD},
        f"{thermal}/ThermalMetrics": {
            "TemperatureReadingsCelsius": [
                {"Reading": 30.25, "DataSourceUri": f"{CHASSIS}/Sensors/Inlet"}
            ]
        },
        f"{CHASSIS}/EnvironmentMetrics": {
            "TemperatureCelsius": {"Reading": 39},
            "PowerWatts": {"Reading": 2500.25},
            "PowerLimitWatts": {"SetPoint": 9000, "ControlMode": "Automatic"},
        },
        f"{CHASSIS}/Sensors": collection(f"{CHASSIS}/Sensors/gpu", f"{CHASSIS}/Sensors/volts"),
        f"{CHASSIS}/Sensors/gpu": {
            "Id": "gpu",
            "Name": "GPU 1",
            "ReadingType": "Temperature",
            "ReadingUnits": "Cel",
            "Reading": 55.5,
            "Thresholds": {"UpperCaution": {"Reading": 85}, "UpperCritical": {"Reading": 90}},
            "Status": GOOD,
        },
        f"{CHASSIS}/Sensors/volts": {"Id": "volts", "ReadingType": "Voltage", "Reading": 12},
    }
    return copy.deepcopy(documents)
