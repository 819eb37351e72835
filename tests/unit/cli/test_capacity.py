# SPDX-License-Identifier: Apache-2.0
"""``nova-gpu capacity`` with a fake cloud."""

import json

import pytest

from nova_gpu_passthrough.inventory import store
from tests.unit.cli.clouds import cloud as cloud
from tests.unit.cli.clouds import named as named
from tests.unit.cloud import clouds
from tests.unit.cloud.quota.builders import L40S, use, use_unified_limits
from tests.unit.generate import builders

FLEET = """\
schema: nova-gpu-passthrough/fleet
version: 1
name: test
groups:
  - name: gpus
    inventories: ["*.yaml"]
"""
PINNED = {
    "hw__cpu_policy": "dedicated",
    "hw__numa_nodes": "1",
    "hw__pci_numa_affinity_policy": "required",
}
GPUS = [f"0000:{bus:02x}:00.0" for bus in range(0x41, 0x45)]


@pytest.fixture
def fleet(tmp_path):
    """A fleet file of two hosts with four L40S each."""
    folder = tmp_path / "fleet"
    folder.mkdir()
    for host in ("l40s1", "l40s2"):
        text = store.dump(builders.l40s(host, audio=False), "test")
        (folder / f"{host}.yaml").write_text(text)
    file = tmp_path / "fleet" / "fleet.yml"
    file.write_text(FLEET)
    return file


@pytest.fixture
def hosts(named):
    """The hosts' providers, and two GPU flavors; a server has two GPUs of the first host."""
    inventories = [builders.l40s(host, audio=False) for host in ("l40s1", "l40s2")]
    providers = clouds.run_computes(named, clouds.fleet(*inventories))
    named.nova.add_flavor("gpu.1", 2, 1024, pci_passthrough__alias="l40s:1", **PINNED)
    two = named.nova.add_flavor("gpu.2", 4, 2048, pci_passthrough__alias="l40s:2", **PINNED)
    named.nova.add_flavor("cpu", 2, 1024)
    cell = {
        "host_node": 0,
        "memory_mb": 2048,
        "vcpu_set": [0, 1, 2, 3],
        "cpu_pinning": {"0": 2, "1": 3, "2": 4, "3": 5},
    }
    clouds.boot(named, providers, "l40s1", GPUS[:2], two, "train", [cell])
    return providers


@pytest.fixture
def run(nova_gpu, fleet, hosts):
    def run(*arguments, formatter="json"):
        options = ("--os-cloud", "test", "capacity", "--fleet", str(fleet))
        status, out, err = nova_gpu(*options, "-f", formatter, *arguments)
        return status, json.loads(out) if formatter == "json" and not status else out, err

    return run


def test_servers_that_fit_are_counted(run):
    status, rows, err = run()
    assert (status, err) == (0, "")
    taken = {row.pop("Taken At") for row in rows}
    assert len(taken) == 1
    assert rows == [
        {
            "Flavor": "gpu.1",
            "GPUs": 1,
            "Model": "L40S",
            "Servers": 6,
            "Hosts": 2,
            "Limited By": "gpus",
            "Exact": True,
        },
        {
            "Flavor": "gpu.2",
            "GPUs": 2,
            "Model": "L40S",
            "Servers": 3,
            "Hosts": 2,
            "Limited By": "gpus",
            "Exact": True,
        },
    ]


def test_the_table_does_not_show_the_time(run):
    _, out, _ = run(formatter="table")
    assert "| gpu.1  |    1 | L40S  |       6 |     2 | gpus       | True  |" in out
    assert "Taken At" not in out


def test_by_host_with_the_limit_of_each(run):
    _, rows, _ = run("--by-host", "gpu.2")
    assert [(row["Host"], row["Servers"], row["Limited By"]) for row in rows] == [
        ("l40s1", 1, ["gpus"]),
        ("l40s2", 2, ["gpus"]),
    ]
    # Two GPUs are in use now, and one more server would use the other two.
    assert rows[0]["Detail"] == ("after 1 more: CUSTOM_GPU_L40S: 2 requested, 0 free, 2 in use")


def test_by_host_and_explain_use_the_same_words(run, nova_gpu, named, fleet, hosts):
    flavor = next(f for f in named.nova.flavors.values() if f["name"] == "gpu.2")
    cells = [
        {"host_node": 1, "memory_mb": 2048, "vcpu_set": [0], "cpu_pinning": {"0": 10}},
    ]
    clouds.boot(named, hosts, "l40s1", GPUS[2:], flavor, "more", cells)
    (row,) = [row for row in run("--by-host", "gpu.2")[1] if row["Host"] == "l40s1"]
    options = ("--os-cloud", "test", "explain", "--fleet", str(fleet), "-f", "json", "gpu.2")
    (explained,) = [one for one in json.loads(nova_gpu(*options)[1]) if one["Host"] == "l40s1"]
    assert row["Servers"] == 0
    same = ("Limited By", "Refused By", "Detail")
    assert [explained[name] for name in same] == [row[name] for name in same]
    assert row["Detail"] == "CUSTOM_GPU_L40S: 2 requested, 0 free, 4 in use"


def test_a_flavor_by_its_id(run, named):
    (key,) = (key for key, flavor in named.nova.flavors.items() if flavor["name"] == "gpu.2")
    assert [row["Flavor"] for row in run(key)[1]] == ["gpu.2"]


def test_nothing_is_stranded(run):
    assert run("--stranded")[1] == []


def test_stranded_gpus_with_their_cause(run, named, hosts):
    named.nova.flavors.clear()
    named.nova.add_flavor("large", 100, 1024, pci_passthrough__alias="l40s:1", **PINNED)
    _, rows, _ = run("--stranded")
    assert len(rows) == 6
    first = rows[0]
    assert (first["Host"], first["Address"], first["Model"]) == ("l40s1", GPUS[2], "L40S")
    assert (first["Limited By"], first["Flavor"]) == ("vcpus", "large")
    assert first["Detail"].startswith("PCPU: 100 requested, ")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("gpu1",), "no flavor gpu1; did you mean gpu.1?"),
        (("nothing",), "no flavor nothing; GPU flavors: gpu.1, gpu.2"),
        (("cpu",), "flavor cpu requests no GPUs by an alias of the fleet"),
        (("--stranded", "gpu.1"), "--stranded considers all flavors"),
    ],
)
def test_invalid_arguments(run, arguments, words):
    status, _, err = run(*arguments)
    assert status == 2
    assert words in err
    assert err.count("\n") == 1


def test_a_fleet_file_is_required(nova_gpu, hosts):
    status, _, err = nova_gpu("--os-cloud", "test", "capacity")
    assert status == 2
    assert "--fleet" in err


def test_uncertain_results_are_reported(run, named):
    named.nova.add_flavor("odd", pci_passthrough__alias="b200:1")
    named.nova.add_flavor("pmem", 2, pci_passthrough__alias="l40s:1", hw__pmem="1")
    _, rows, err = run()
    assert "flavor odd is left out: pci_passthrough:alias names b200" in err
    assert "flavor pmem: extra spec hw:pmem is ignored" in err
    assert {row["Flavor"]: row["Exact"] for row in rows} == {
        "gpu.1": True,
        "gpu.2": True,
        "pmem": False,
    }


@pytest.fixture
def reserved(fleet, named):
    """The fleet's filters reserve the second host for the project research."""
    fleet.write_text(
        FLEET + "settings: {enabled_filters: [ComputeFilter, AggregateMultiTenancyIsolation]}\n"
    )
    named.nova.aggregates[1] = {
        "id": 1,
        "name": "gpu-research",
        "hosts": ["l40s2"],
        "metadata": {"filter_tenant_id": "id-research"},
    }


def test_reserved_hosts_are_counted_only_for_their_project(run, named, reserved):
    _, rows, err = run("gpu.1")
    assert rows[0]["Servers"] == 6
    assert err == (
        "l40s2 takes only servers of project research: add --project to ask for one project\n"
    )
    for project, servers in (("research", 6), ("id-research", 6), ("teaching", 2)):
        _, rows, err = run("gpu.1", "--project", project)
        assert rows[0]["Servers"] == servers
        assert "takes only servers" not in err
    _, rows, _ = run("gpu.1", "--project", "teaching", "--by-host")
    assert rows[1]["Detail"] == "reserved for project research (aggregate gpu-research)"


def test_only_flavors_that_the_project_may_use_are_counted(run, named):
    private = {"pci_passthrough__alias": "l40s:4", **PINNED}
    named.nova.add_flavor("gpu.4", 8, 1024, public=False, access=["id-research"], **private)
    _, rows, err = run("--project", "teaching")
    assert [row["Flavor"] for row in rows] == ["gpu.1", "gpu.2"]
    assert "the project has no access to gpu.4\n" in err
    _, rows, _ = run("gpu.4", "--project", "teaching")
    assert (rows[0]["Servers"], rows[0]["Limited By"]) == (0, "project")
    assert [row["Flavor"] for row in run("--project", "research")[1]] == ["gpu.1", "gpu.2", "gpu.4"]


def test_what_the_quota_of_a_project_permits(run, named):
    use_unified_limits(named, l40s=0)
    named.keystone.limit(L40S, 5, "research")
    use(named, "research", {"CUSTOM_GPU_L40S": 2})
    rows = run("--project", "research")[1]
    assert [(row["Servers"], row["By Quota"]) for row in rows] == [(6, 3), (3, 1)]
    rows = run("--project", "teaching")[1]
    assert [(row["Servers"], row["By Quota"]) for row in rows] == [(6, 0), (3, 0)]
    assert "By Quota" not in run()[1][0]


def test_novas_own_quotas_limit_no_gpus(run, named):
    named.nova.quotas["id-research"] = {"instances": -1, "cores": 7, "ram": -1}
    _, rows, err = run("--project", "research")
    assert [row["By Quota"] for row in rows] == [3, 1]
    assert "Nova uses its own quotas" in err
    named.nova.quotas["id-research"]["cores"] = -1
    assert [row["By Quota"] for row in run("--project", "research")[1]] == [None, None]


def test_without_permission_the_quota_is_not_counted(run, named):
    named.keystone.roles["admin"] = ["reader"]
    _, rows, err = run("--project", "research")
    assert rows[0]["Servers"] == 6
    assert "By Quota" not in rows[0]
    assert "the quota of project research is not counted: Keystone lists limits of other " in err


def test_an_unknown_project(run):
    status, _, err = run("--project", "reserch")
    assert status == 2
    assert "--project reserch: there is no project reserch; did you mean research?" in err


def test_what_more_hosts_would_give(run):
    status, rows, err = run("--add", "2xl40s1")
    assert status == 0
    assert err.startswith("--add 2xl40s1: empty hosts like l40s1 (4 L40S, ")
    assert [
        (row["Flavor"], row["Servers"], row["Servers Then"], row["Change"]) for row in rows
    ] == [("gpu.1", 6, 14, 8), ("gpu.2", 3, 7, 4)]
    _, out, _ = run("gpu.1", "--add", "2xl40s1", formatter="table")
    assert "| 6 -> 14 (+8) |" in out


def test_hosts_that_are_added_are_listed_by_host(run):
    _, rows, _ = run("gpu.2", "--add", "1xL40S", "--by-host")
    assert [(row["Host"], row["Servers"]) for row in rows] == [
        ("l40s1", 1),
        ("l40s2", 2),
        ("l40s1+1", 2),
    ]


@pytest.fixture
def racks(fleet):
    """Each host of the fleet is in a rack of its own."""
    fleet.write_text(FLEET + "hosts: [{names: [l40s1], rack: r1}, {names: [l40s2], rack: r2}]\n")


def test_what_remains_if_a_rack_fails(run, racks):
    _, rows, err = run()
    assert [(row["Flavor"], row["Servers"], row["If Rack Fails"]) for row in rows] == [
        ("gpu.1", 6, 2),
        ("gpu.2", 3, 1),
    ]
    assert err == ""
    _, rows, err = run("gpu.2", "--by-domain", "rack")
    assert [(row["Domain"], row["Hosts"], row["Servers"], row["If It Fails"]) for row in rows] == [
        ("rack r2", 1, 2, 1),
        ("rack r1", 1, 1, 2),
    ]
    assert err == "rack r1: 1 of 1 servers with GPUs would fit on the other hosts\n"


def test_the_hosts_of_a_rack_are_left_out(run, racks):
    _, rows, err = run("gpu.2", "--without", "rack=r1")
    assert [(row["Servers"], row["Servers Then"], row["Change"]) for row in rows] == [(3, 2, -1)]
    assert "rack r1: 1 of 1 servers" in err
    _, out, _ = run("gpu.2", "--without", "rack=r1", "--add", "1xl40s1", formatter="table")
    assert "| 3 -> 4 (+1) |" in out


def test_without_racks_nothing_fails(run):
    assert "If Rack Fails" not in run()[1][0]
    assert run("--by-domain", "host")[0] == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--add", "l40s1"), "--add l40s1: expected COUNTxNAME"),
        (("--stranded", "--add", "1xl40s1"), "omit --add and --without"),
        (("--without", "host=l40s1", "--by-host"), "omit --by-host and --by-domain"),
        (("--without", "rack=r1"), "no host is in rack r1, expected a level of the fleet file"),
        (("--by-domain", "rack"), "no host has a rack in the fleet file, expected one of: host"),
    ],
)
def test_invalid_changes_of_hosts(run, arguments, words):
    status, _, err = run(*arguments)
    assert status == 2
    assert words in err
    assert err.count("\n") == 1
