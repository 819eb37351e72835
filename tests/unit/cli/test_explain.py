# SPDX-License-Identifier: Apache-2.0
"""``nova-gpu explain`` with a fake cloud."""

import json

import pytest

from tests.unit.cli.clouds import cloud as cloud
from tests.unit.cli.clouds import named as named
from tests.unit.cli.test_capacity import GPUS
from tests.unit.cli.test_capacity import fleet as fleet
from tests.unit.cli.test_capacity import hosts as hosts
from tests.unit.cli.test_capacity import reserved as reserved


@pytest.fixture
def run(nova_gpu, fleet, hosts):
    def run(*arguments):
        options = ("--os-cloud", "test", "explain", "--fleet", str(fleet), "--long", "-f", "json")
        status, out, err = nova_gpu(*options, *arguments)
        return status, json.loads(out) if not status else None, err

    return run


def test_a_flavor(run):
    status, rows, err = run("gpu.2")
    assert status == 0
    assert [(row["Host"], row["Answer"]) for row in rows] == [("l40s1", "fits"), ("l40s2", "fits")]
    assert f"with {GPUS[2]} {GPUS[3]} on NUMA node 1" in rows[0]["Detail"]
    assert rows[0]["Weight"] > rows[1]["Weight"]
    first, last = err.splitlines()
    assert first.startswith("Flavor gpu.2 (GPU request l40s:2): 2 of 2 hosts take such a server")
    assert last == "nova-scheduler would log: GPU request l40s:2: 2 of 2 hosts fit"


def test_a_server_on_a_host(run):
    _, rows, err = run("train")
    assert [(row["Host"], row["Answer"]) for row in rows] == [("l40s1", "here"), ("l40s2", "fits")]
    assert rows[0]["Detail"].startswith(f"has {GPUS[0]} {GPUS[1]} on NUMA node 0")
    assert "is ACTIVE on l40s1" in err


def test_a_server_in_error(run, named):
    flavor = named.nova.add_flavor("large", 100, 1024, pci_passthrough__alias="l40s:1")
    fault = {"created": "2026-01-01T00:00:00Z", "message": "No valid host was found. "}
    named.nova.add_server("failed", None, flavor, status="ERROR", fault=fault)
    status, rows, err = run("failed")
    # The status is 0 even if no host fits.
    assert status == 0
    assert {(row["Answer"], *row["Limited By"], row["Refused By"]) for row in rows} == {
        ("refused", "vcpus", "Placement")
    }
    assert rows[0]["Detail"].startswith("VCPU: 100 requested, ")
    assert "is ERROR on no host: No valid host was found (since 2026-01-01T00:00:00Z)" in err
    assert "as they are now" in err


def test_an_unknown_name(run):
    status, _, err = run("trian")
    assert (status, err) == (2, "nova-gpu: no server or flavor trian; did you mean train?\n")


def test_a_name_of_a_server_and_a_flavor(run, named):
    named.nova.add_flavor("train")
    assert run("train")[0] == 2
    assert run("train", "--server")[1][0]["Answer"] == "here"
    assert run("train", "--flavor")[1][0]["Answer"] == "fits"


def test_the_table_has_no_weights(nova_gpu, fleet, hosts):
    _, out, _ = nova_gpu("--os-cloud", "test", "explain", "--fleet", str(fleet), "gpu.1")
    heading = out.splitlines()[1]
    assert [word.strip() for word in heading.strip("|").split("|")] == [
        "Host",
        "Answer",
        "Limited By",
        "Refused By",
        "Detail",
    ]


def test_a_flavor_for_a_project(run, reserved):
    _, rows, _ = run("gpu.1", "--project", "teaching")
    assert [(row["Host"], row["Answer"], row["Limited By"], row["Refused By"]) for row in rows] == [
        ("l40s1", "fits", [], None),
        ("l40s2", "refused", ["project"], "AggregateMultiTenancyIsolation"),
    ]
    assert rows[1]["Detail"] == "reserved for project research (aggregate gpu-research)"
    _, rows, err = run("gpu.1")
    assert {row["Answer"] for row in rows} == {"fits"}
    assert "l40s2 takes only servers of project research" in err


def test_a_server_is_explained_for_its_own_project(run, named, reserved):
    fault = {"created": "2026-01-01T00:00:00Z", "message": "No valid host was found. "}
    flavor = next(one for one in named.nova.flavors.values() if one["name"] == "gpu.1")
    named.nova.add_server("mine", None, flavor, "id-teaching", status="ERROR", fault=fault)
    _, rows, _ = run("mine")
    assert [(row["Host"], row["Answer"]) for row in rows] == [
        ("l40s1", "fits"),
        ("l40s2", "refused"),
    ]
    status, _, err = run("mine", "--project", "research")
    assert (status, "is explained for its own project" in err) == (2, True)
