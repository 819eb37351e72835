# SPDX-License-Identifier: Apache-2.0
"""Reading the resources of a chassis; invalid resources do not stop the audit."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sushy import exceptions

from nova_gpu_passthrough.errors import UserError
from nova_gpu_passthrough.host.redfish import chassis_findings, resources, selection
from nova_gpu_passthrough.host.redfish.readings import ChassisPower, ComponentKind
from nova_gpu_passthrough.host.redfish.service import RedfishService
from tests.unit.host.redfish import servers
from tests.unit.host.redfish.servers import CHASSIS, ROOT, SYSTEM, collection
from tests.unit.host.redfish.test_readings import JSON


class DocumentService(RedfishService):
    """A service that returns documents without a network."""

    def __init__(self, documents):
        self.url = "https://bmc.example"
        self.root = documents[ROOT]
        self.notes = {}
        self.requested = []
        self._login = None
        self._documents = {}
        self._answers = documents
        self._deadline = math.inf

    def _get(self, path):
        self.requested.append(path)
        if path not in self._answers:
            raise _Absent
        if not isinstance(self._answers[path], dict):
            raise TypeError
        return self._answers[path]


class _Absent(exceptions.SushyError):
    status_code = 404


def read(documents, system_id=None):
    """Return the service, the selection, and the readings of each chassis."""
    service = DocumentService(documents)
    selected = selection.select(service, system_id)
    return service, selected, [resources.read(service, path) for path in selected.chassis]


def test_power_and_thermal_suffice():
    service, _, (result,) = read(servers.legacy())
    assert result.power == ChassisPower(4210.5, 9800, 13200)
    assert [(sensor.name, sensor.celsius) for sensor in result.temperatures] == [
        ("Inlet", 24),
        ("GPU 1", 61.5),
    ]
    assert [part.name for part in result.supply] == [
        *(f"PSU{n}" for n in range(6)),
        "PSU Redundancy",
    ]
    assert [part.name for part in result.cooling] == ["Fan 1", "Fan 2"]
    assert result.source("power") == f"https://bmc.example{CHASSIS}/Power"
    assert service.requested[-2:] == [f"{CHASSIS}/Thermal", f"{CHASSIS}/Power"]
    assert service.notes == {}


def test_successors_are_read_if_power_and_thermal_are_absent():
    service, _, (result,) = read(servers.current())
    assert result.power == ChassisPower(2500.25, None, 12000, 9000)
    assert [(sensor.name, sensor.celsius) for sensor in result.temperatures] == [("GPU 1", 55.5)]
    assert [part.name for part in result.supply if part.kind is ComponentKind.SUPPLY] == [
        "Bay 1",
        "Bay 2",
    ]
    assert [part.name for part in result.cooling] == ["Fan 1", "cooling subsystem"]
    assert result.source("heat").endswith("/Sensors")
    assert len(service.requested) == len(set(service.requested))


def test_metrics_are_used_without_sensors():
    documents = servers.current()
    del documents[CHASSIS]["Sensors"]
    _, _, (result,) = read(documents)
    assert [(sensor.name, sensor.celsius) for sensor in result.temperatures] == [("Inlet", 30.25)]
    del documents[CHASSIS]["ThermalSubsystem"]
    _, _, (result,) = read(documents)
    assert [(sensor.name, sensor.celsius) for sensor in result.temperatures] == [("chassis", 39)]


def test_the_capacity_is_the_sum_of_the_supplies_if_not_reported():
    documents = servers.legacy()
    power = documents[f"{CHASSIS}/Power"]
    del power["PowerControl"][0]["PowerCapacityWatts"]
    assert read(documents)[2][0].power.capacity_watts == 6 * 3300
    del power["PowerSupplies"][0]["PowerCapacityWatts"]
    assert read(documents)[2][0].power.capacity_watts is None


def test_redundancy_groups_in_supplies_count_once():
    documents = servers.legacy()
    power = documents[f"{CHASSIS}/Power"]
    group = power.pop("Redundancy")
    for supply in power["PowerSupplies"]:
        supply["Redundancy"] = group
    (result,) = read(documents)[2]
    assert [part.name for part in result.supply if part.is_group] == ["PSU Redundancy"]


def test_a_broken_resource_leaves_a_note_and_an_absent_one_does_not():
    documents = servers.legacy()
    del documents[f"{CHASSIS}/Power"]
    documents[f"{CHASSIS}/Thermal"] = []
    service, _, (result,) = read(documents)
    assert result.power == ChassisPower()
    assert list(service.notes) == [f"{CHASSIS}/Thermal"]


def test_a_collection_of_several_pages_is_read_to_its_end():
    documents = servers.current()
    sensors = f"{CHASSIS}/Sensors"
    documents[sensors] = {**collection(), "Members@odata.nextLink": f"{sensors}?$skip=1"}
    documents[f"{sensors}?$skip=1"] = {
        **collection(f"{sensors}/gpu"),
        "Members@odata.nextLink": sensors,
    }
    assert [sensor.name for sensor in read(documents)[2][0].temperatures] == ["GPU 1"]


@pytest.mark.parametrize("answers", [True, False])
def test_members_are_read_in_one_response_if_possible(answers):
    documents = servers.current()
    documents[ROOT]["ProtocolFeaturesSupported"] = {"ExpandQuery": {"NoLinks": True}}
    sensors = f"{CHASSIS}/Sensors"
    if answers:
        documents[f"{sensors}?$expand=.($levels=1)"] = {"Members": [documents[f"{sensors}/gpu"]]}
    service, _, (result,) = read(documents)
    assert [sensor.name for sensor in result.temperatures] == ["GPU 1"]
    assert (f"{sensors}/gpu" in service.requested) is not answers
    assert service.notes == {}


@pytest.mark.parametrize("system_id, system", [(None, "1"), ("2", "2"), (f"{SYSTEM[:-1]}2", "2")])
def test_the_system_is_the_first_or_the_requested_one(system_id, system):
    documents = servers.frame({}, systems=(SYSTEM, f"{SYSTEM[:-1]}2"))
    _, selected, _ = read(documents, system_id)
    (finding,) = selected.findings()
    other = "2" if system == "1" else "1"
    assert finding.found == (
        f"system {system}, chassis 1U; not read: {other} (choose with --redfish-system)"
    )


def test_an_unknown_system_is_an_error_that_lists_the_systems():
    with pytest.raises(UserError, match="no system 7; --redfish-system expects one of 1$"):
        read(servers.legacy(), "7")


def test_a_chassis_that_links_to_the_system_is_used():
    documents = servers.frame({"Links": {"ComputerSystems": servers.links(SYSTEM)}}, linked=())
    documents["/redfish/v1/Chassis"] = collection("/redfish/v1/Chassis/rack", CHASSIS)
    documents["/redfish/v1/Chassis/rack"] = {"Id": "rack"}
    assert read(documents)[1].chassis == (CHASSIS,)


def test_an_unknown_chassis_is_reported():
    documents = servers.frame({}, linked=())
    documents["/redfish/v1/Chassis"] = collection("/redfish/v1/Chassis/1", "/redfish/v1/Chassis/2")
    _, selected, results = read(documents)
    assert [finding.id for finding in selected.findings()] == ["redfish.chassis_unknown"]
    assert results == []


def _paths(value, path=()):
    """Return the path of every value in a document."""
    yield path
    if isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _paths(inner, (*path, key))


def _replace(documents, path, value):
    for key in path[:-1]:
        documents = documents[key]
    documents[path[-1]] = value


@given(st.data())
def test_any_damaged_document_gives_a_finding_or_one_sentence(data):
    documents = data.draw(st.sampled_from([servers.legacy, servers.current]))()
    for _ in range(data.draw(st.integers(1, 3))):
        paths = [path for path in _paths(documents) if path and path != (ROOT,)]
        _replace(documents, data.draw(st.sampled_from(paths)), data.draw(JSON))
    try:
        service, selected, results = read(documents)
    except UserError as error:
        assert str(error).startswith("https://bmc.example: ")
        return
    findings = [*selected.findings(), *chassis_findings.unreadable(service.url, service.notes)]
    for readings in results:
        findings += chassis_findings.findings_of(readings)
    assert findings


def test_a_component_without_status_is_not_healthy():
    documents = servers.legacy()
    for fan in documents[f"{CHASSIS}/Thermal"]["Fans"]:
        del fan["Status"]
    (result,) = read(documents)[2]
    assert "redfish.cooling_untold" in {
        finding.id for finding in chassis_findings.findings_of(result)
    }
