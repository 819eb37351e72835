# SPDX-License-Identifier: Apache-2.0
"""``nova-gpu device list`` with a fake cloud."""

import json
import re

import pytest

from nova_gpu_passthrough.cli.cloud_command import CloudCommand
from nova_gpu_passthrough.cloud.view import read
from tests.unit.cli.clouds import cloud as cloud
from tests.unit.cli.clouds import named as named
from tests.unit.cloud import clouds
from tests.unit.generate import builders

OWNER = {"project": "id-research", "user_id": "id-alice"}
UNKNOWN_CONSUMER = "11111111-2222-3333-4444-555555555555"
GPUS = tuple(f"0000:{bus:02x}:00.0" for bus in range(0x41, 0x43))


@pytest.fixture
def listed(nova_gpu, named):
    def run(*arguments):
        status, out, err = nova_gpu(
            "--os-cloud", "test", "device", "list", "-f", "json", *arguments
        )
        assert (status, err) == (0, "")
        return json.loads(out)

    return run


@pytest.fixture
def server(named):
    """Two hosts with two L40S each; a server has one, an unknown consumer another."""
    resolved = clouds.fleet(builders.l40s("l40s1", 2), builders.l40s("l40s2", 2))
    providers = clouds.run_computes(named, resolved)
    flavor = named.nova.add_flavor("one", 2, 1024, pci_passthrough__alias="l40s:1,l40s-audio:1")
    clouds.allocate(named, providers, "l40s2", GPUS[:1], UNKNOWN_CONSUMER)
    devices = (GPUS[0], "0000:41:00.1")
    return clouds.boot(named, providers, "l40s1", devices, flavor, name="Train-1", **OWNER)


def test_values_are_typed(listed, server):
    first = listed("--long")[0]
    provider, traits = first.pop("Provider"), first.pop("Traits")
    assert len(provider) == 36
    assert "CUSTOM_GPU_MODEL_L40S" in traits
    assert first == {
        "Host": "l40s1",
        "Address": GPUS[0],
        "Model": "L40S",
        "State": "in-use",
        "Server": ["Train-1"],
        "Server ID": [server["id"]],
        "Server Status": ["ACTIVE"],
        "Task State": [],
        "Created": "2026-01-01T08:00:00Z",
        "Unchanged Since": "2026-02-01T08:00:00Z",
        "Flavor": ["one"],
        "User": ["alice"],
        "Project": ["research"],
        "Project ID": ["id-research"],
        "NUMA Node": 0,
        "Link Group": [],
        "Switch": None,
        "Note": "",
        "Resource Class": "CUSTOM_GPU_L40S",
        "Total": 1,
        "Free": 0,
        "Card": None,
        "Serial": None,
    }


def addresses(rows):
    return [(row["Host"], row["Address"]) for row in rows]


FIRST, SECOND, STUCK, LAST = [(host, gpu) for host in ("l40s1", "l40s2") for gpu in GPUS]


FILTERS = {
    (): [FIRST, SECOND, STUCK, LAST],
    ("--host", "l40s2"): [STUCK, LAST],
    ("--host", "*1", "--host", "L40S2"): [FIRST, SECOND, STUCK, LAST],
    ("--host", "other"): [],
    ("--state", "free"): [SECOND, LAST],
    ("--state", "in-use", "--state", "stuck"): [FIRST, STUCK],
    ("--state", "missing"): [],
    ("--model", "l40*"): [FIRST, SECOND, STUCK, LAST],
    ("--model", "H100*"): [],
    ("--server", "train-*"): [FIRST],
    ("--server", UNKNOWN_CONSUMER): [STUCK],
    ("--server", "*", "--state", "free"): [],
    ("--project", "research"): [FIRST],
    ("--project", "ID-research"): [FIRST],
    ("--project", "teach*"): [],
    ("--server-status", "active"): [FIRST],
    ("--server-status", "SHUTOFF", "--server-status", "ACTIVE"): [FIRST],
    ("--server-status", "error"): [],
}


def test_filters(listed, named, server, monkeypatch):
    view = read.read(named.connection())
    monkeypatch.setattr(CloudCommand, "read_view", lambda *_: view)
    assert {arguments: addresses(listed(*arguments)) for arguments in FILTERS} == FILTERS
    assert addresses(listed("--server", server["id"])) == [FIRST]


def test_all_lists_other_devices(listed, server):
    rows = listed("--all", "--host", "l40s1")
    assert [row["Model"] for row in rows] == ["L40S", None, "L40S", None]
    assert [row["State"] for row in rows] == ["in-use", "in-use", "free", "free"]


def test_the_note_of_a_stuck_device_has_the_reason(listed, server):
    (row,) = listed("--state", "stuck", "--long")
    assert (row["Server"], row["Server ID"]) == ([], [UNKNOWN_CONSUMER])
    assert UNKNOWN_CONSUMER in row["Note"]


def test_the_table(nova_gpu, server):
    _, out, _ = nova_gpu("--os-cloud", "test", "device", "list", "--state", "in-use")
    assert f"| l40s1 | {GPUS[0]} | L40S  | in-use | Train-1 | research |" in out
    assert server["id"] not in out


def test_a_server_that_does_not_run_is_noted(listed, named, server):
    server["status"], server["updated"] = "SHUTOFF", "2026-02-01T08:00:00Z"
    (row,) = listed("--server-status", "shutoff", "--long")
    assert row["Server Status"] == ["SHUTOFF"]
    assert re.fullmatch(r"server Train-1 is SHUTOFF, unchanged for \d+d", row["Note"])


def test_times_are_relative_for_people(nova_gpu, server):
    _, out, _ = nova_gpu(
        *("--os-cloud", "test", "device", "list", "--state", "in-use"),
        *("-c", "Created", "-c", "Unchanged Since"),
    )
    assert re.search(r"\| \d+d ago \| \d+d ago +\|", out)
    _, out, _ = nova_gpu(
        *("--os-cloud", "test", "device", "list", "--state", "in-use"),
        *("-f", "value", "-c", "Created", "-c", "Unchanged Since"),
    )
    assert out == "2026-01-01T08:00:00Z 2026-02-01T08:00:00Z\n"


def test_without_permission_to_read_names_ids_are_listed_with_one_note(nova_gpu, named, server):
    named.fail("GET .*/projects", 403)
    named.fail("GET .*/users/.*", 403)
    status, out, err = nova_gpu(
        *("--os-cloud", "test", "device", "list", "--project", "id-research"),
        *("-f", "value", "-c", "Project", "-c", "User"),
    )
    assert (status, out) == (0, "id-research id-alice\n")
    assert err == (
        "Keystone does not permit reading the names of projects and users: ids are shown\n"
    )


def test_an_unknown_status(nova_gpu, named):
    status, _, err = nova_gpu("--os-cloud", "test", "device", "list", "--server-status", "off")
    assert status == 2
    assert "'off' is not a status of servers, expected one of ACTIVE, BUILD, ERROR" in err


def test_an_unknown_state(nova_gpu, named):
    status, _, err = nova_gpu("--os-cloud", "test", "device", "list", "--state", "odd")
    assert status == 2
    assert "invalid choice: 'odd'" in err


EMPTY = {
    ("--host", "nohost"): "No host matches nohost; those with GPUs: l40s1, l40s2",
    ("--state", "missing"): "No device matches all of the filters",
}


@pytest.mark.parametrize("arguments", EMPTY)
def test_an_empty_list_is_a_sentence(nova_gpu, server, arguments):
    done = nova_gpu("--os-cloud", "test", "device", "list", *arguments)
    assert done == (0, "", f"{EMPTY[arguments]}\n")
    assert nova_gpu("--quiet", "--os-cloud", "test", "device", "list", *arguments) == (0, "", "")
