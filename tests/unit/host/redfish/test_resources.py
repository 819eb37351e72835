# SPDX-License-Identifier: Apache-2.0
"""Which resources are read, and that none of them may be odd enough to stop the audit."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sushy import exceptions

from nova_gpu_passthrough.errors import UserError
from nova_gpu_passthrough.host.redfish import judgement, resources, selection
from nova_gpu_passthrough.host.redfish.readings import Kind, Power
from nova_gpu_passthrough.host.redfish.service import Service
from tests.unit.host.redfish import servers
from tests.unit.host.redfish.servers import CHASSIS, ROOT, SYSTEM, collection
from tests.unit.host.redfish.test_readings import JSON


class Told(Service):
    """The documents as a service without a network."""

    def __init__(self, documents):
        self.url = "https://bmc.example"
        self.root = documents[ROOT]
        self.notes = {}
        self.asked = []
        self._login = None
        self._documents = {}
        self._answers = documents
        self._ends = math.inf

    def _get(self, path):
        self.asked.append(path)
        if path not in self._answers:
            raise _Absent
        if not isinstance(self._answers[path], dict):
            raise TypeError
        return self._answers[path]


class _Absent(exceptions.SushyError):
    status_code = 404


def read(documents, wanted=None):
    """Service, choice and readings of its first chassis."""
    service = Told(documents)
    choice = selection.choose(service, wanted)
    return service, choice, [resources.read(service, path) for path in choice.chassis]


def test_power_and_thermal_tell_all_and_nothing_else_is_asked():
    service, _, (told,) = read(servers.legacy())
    assert told.power == Power(4210.5, 9800, 13200)
    assert [(sensor.name, sensor.celsius) for sensor in told.temperatures] == [
        ("Inlet", 24),
        ("GPU 1", 61.5),
    ]
    assert [part.name for part in told.supply] == [*(f"PSU{n}" for n in range(6)), "PSU Redundancy"]
    assert [part.name for part in told.cooling] == ["Fan 1", "Fan 2"]
    assert told.source("power") == f"https://bmc.example{CHASSIS}/Power"
    assert service.asked[-2:] == [f"{CHASSIS}/Thermal", f"{CHASSIS}/Power"]
    assert service.notes == {}


def test_successors_tell_where_power_and_thermal_are_absent():
    service, _, (told,) = read(servers.current())
    assert told.power == Power(2500.25, None, 12000, 9000)
    assert [(sensor.name, sensor.celsius) for sensor in told.temperatures] == [("GPU 1", 55.5)]
    assert [part.name for part in told.supply if part.kind is Kind.SUPPLY] == ["Bay 1", "Bay 2"]
    assert [part.name for part in told.cooling] == ["Fan 1", "cooling subsystem"]
    assert told.source("heat").endswith("/Sensors")
    assert len(service.asked) == len(set(service.asked))


def test_metrics_tell_where_there_are_no_sensors():
    documents = servers.current()
    del documents[CHASSIS]["Sensors"]
    _, _, (told,) = read(documents)
    assert [(sensor.name, sensor.celsius) for sensor in told.temperatures] == [("Inlet", 30.25)]
    del documents[CHASSIS]["ThermalSubsystem"]
    _, _, (told,) = read(documents)
    assert [(sensor.name, sensor.celsius) for sensor in told.temperatures] == [("chassis", 39)]


def test_capacity_is_that_of_all_supplies_where_none_is_told():
    documents = servers.legacy()
    power = documents[f"{CHASSIS}/Power"]
    del power["PowerControl"][0]["PowerCapacityWatts"]
    assert read(documents)[2][0].power.capacity_watts == 6 * 3300
    del power["PowerSupplies"][0]["PowerCapacityWatts"]
    assert read(documents)[2][0].power.capacity_watts is None


def test_redundancy_inside_the_supplies_counts_once():
    documents = servers.legacy()
    power = documents[f"{CHASSIS}/Power"]
    group = power.pop("Redundancy")
    for supply in power["PowerSupplies"]:
        supply["Redundancy"] = group
    (told,) = read(documents)[2]
    assert [part.name for part in told.supply if part.is_group] == ["PSU Redundancy"]


def test_an_absent_resource_is_no_note_and_a_broken_one_is():
    documents = servers.legacy()
    del documents[f"{CHASSIS}/Power"]
    documents[f"{CHASSIS}/Thermal"] = []
    service, _, (told,) = read(documents)
    assert told.power == Power()
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
def test_members_come_in_one_answer_where_the_service_can(answers):
    documents = servers.current()
    documents[ROOT]["ProtocolFeaturesSupported"] = {"ExpandQuery": {"NoLinks": True}}
    sensors = f"{CHASSIS}/Sensors"
    if answers:
        documents[f"{sensors}?$expand=.($levels=1)"] = {"Members": [documents[f"{sensors}/gpu"]]}
    service, _, (told,) = read(documents)
    assert [sensor.name for sensor in told.temperatures] == ["GPU 1"]
    assert (f"{sensors}/gpu" in service.asked) is not answers
    assert service.notes == {}


@pytest.mark.parametrize("wanted, system", [(None, "1"), ("2", "2"), (f"{SYSTEM[:-1]}2", "2")])
def test_the_system_is_the_first_or_the_named_one(wanted, system):
    documents = servers.frame({}, systems=(SYSTEM, f"{SYSTEM[:-1]}2"))
    _, choice, _ = read(documents, wanted)
    (finding,) = choice.findings()
    other = "2" if system == "1" else "1"
    assert finding.found == (
        f"system {system}, chassis 1U; not asked about: {other} (choose with --redfish-system)"
    )


def test_a_system_that_is_not_there_is_an_error_that_names_those_that_are():
    with pytest.raises(UserError, match="no system 7; --redfish-system expects one of 1$"):
        read(servers.legacy(), "7")


def test_a_chassis_that_names_the_system_is_found():
    documents = servers.frame({"Links": {"ComputerSystems": servers.links(SYSTEM)}}, linked=())
    documents["/redfish/v1/Chassis"] = collection("/redfish/v1/Chassis/rack", CHASSIS)
    documents["/redfish/v1/Chassis/rack"] = {"Id": "rack"}
    assert read(documents)[1].chassis == (CHASSIS,)


def test_without_a_chassis_the_audit_says_so():
    documents = servers.frame({}, linked=())
    documents["/redfish/v1/Chassis"] = collection("/redfish/v1/Chassis/1", "/redfish/v1/Chassis/2")
    _, choice, told = read(documents)
    assert [finding.id for finding in choice.findings()] == ["redfish.chassis_unknown"]
    assert told == []


def _places(value, path=()):
    """Every place in a document."""
    yield path
    if isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _places(inner, (*path, key))


def _spoilt(documents, path, value):
    for key in path[:-1]:
        documents = documents[key]
    documents[path[-1]] = value


@given(st.data())
def test_anything_anywhere_is_a_finding_or_one_clear_sentence(data):
    documents = data.draw(st.sampled_from([servers.legacy, servers.current]))()
    for _ in range(data.draw(st.integers(1, 3))):
        places = [path for path in _places(documents) if path and path != (ROOT,)]
        _spoilt(documents, data.draw(st.sampled_from(places)), data.draw(JSON))
    try:
        service, choice, told = read(documents)
    except UserError as error:
        assert str(error).startswith("https://bmc.example: ")
        return
    findings = [*choice.findings(), *judgement.unread(service.url, service.notes)]
    for readings in told:
        findings += judgement.judge(readings)
    assert findings


def test_a_part_without_status_is_not_called_healthy():
    documents = servers.legacy()
    for fan in documents[f"{CHASSIS}/Thermal"]["Fans"]:
        del fan["Status"]
    (told,) = read(documents)[2]
    assert "redfish.cooling_untold" in {finding.id for finding in judgement.judge(told)}
