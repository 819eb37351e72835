# SPDX-License-Identifier: Apache-2.0
"""``nova-gpu simulate``."""

import builtins
import json

import pytest

from nova_gpu_passthrough.inventory import store
from nova_gpu_passthrough.simulator import batch
from tests.unit.generate import builders

NODES = "sn,cpu_milli,memory_mib,gpu,model\n" + "".join(
    f"n{number},32000,65536,8,G2\n" for number in range(6)
)
TASKS = """\
name,cpu_milli,memory_mib,num_gpu,gpu_milli
a,2000,1024,1,1000
b,2000,1024,1,1000
c,6000,1024,1,460
d,24000,8192,8,1000
e,2000,1024,0,0
"""


@pytest.fixture(autouse=True)
def no_fleet(monkeypatch):
    monkeypatch.delenv("NOVA_GPU_FLEET", raising=False)


@pytest.fixture
def openb(tmp_path):
    """Options that name files in openb's format."""
    nodes, tasks = tmp_path / "nodes.csv", tmp_path / "tasks.csv"
    nodes.write_text(NODES)
    tasks.write_text(TASKS)
    return "--nodes", nodes, "--tasks", tasks


@pytest.fixture
def inventory(tmp_path):
    path = tmp_path / "hgx.yaml"
    path.write_text(store.dump(builders.hgx(), "nova-gpu host audit"))
    return path


def test_json(nova_gpu, openb):
    status, out, err = nova_gpu(
        "simulate", *openb, "--ranker", "pack,fragmentation", "--ranker", "fgd", "--seeds", 3,
        "--requested", 100, "--shares", "round-up", "--long", "-f", "json",
    )  # fmt: skip
    assert status == 0, err
    rows = json.loads(out)
    assert [row["Ranker"] for row in rows] == ["pack", "fragmentation", "fgd"]
    for row in rows:
        assert row["Total GPUs"] == 48
        for key in ("Allocated %", "Unallocated GPUs", "Refused"):
            assert len(row[key]["per_seed"]) == 3
            assert row[key]["mean"] == pytest.approx(sum(row[key]["per_seed"]) / 3, abs=1e-5)
        assert row["Allocated %"]["mean"] == pytest.approx(
            100 - row["Unallocated GPUs"]["mean"] / 0.48, abs=1e-4
        )
        assert set(row["Course"]) == {str(mark) for mark in range(50, 131, 10)}
    assert len({str(row["Requested"]) for row in rows}) == 1
    assert "1 tasks with a share of a GPU get a whole one (--shares round-up)" in err
    assert "rule: each host has two NUMA nodes" in err


def test_the_table_is_the_same_in_each_run(nova_gpu, openb):
    first = nova_gpu("simulate", *openb, "--ranker", "random", "--seeds", 2)
    assert first[0] == 0, first[2]
    assert "| random " in first[1]
    assert first == nova_gpu("simulate", *openb, "--ranker", "random", "--seeds", 2)
    assert first == nova_gpu("simulate", *openb, "--ranker", "random", "--seeds", 2, "--jobs", 2)


def test_by_default_the_policies_are_compared(nova_gpu, openb):
    status, out, _ = nova_gpu("simulate", *openb, "-f", "value", "-c", "Ranker")
    assert (status, out.split()) == (0, ["pack", "spread", "fragmentation"])


def test_the_course(nova_gpu, openb):
    status, out, _ = nova_gpu("simulate", *openb, "--course", "--ranker", "pack", "-f", "csv")
    assert status == 0
    assert out.splitlines()[0] == (
        '"Ranker","At 50","At 60","At 70","At 80","At 90","At 100","At 110","At 120","At 130"'
    )


def test_times(nova_gpu, openb, tmp_path):
    trace = tmp_path / "trace.yaml"
    trace.write_text(
        "schema: nova-gpu-passthrough/trace\nversion: 1\ntasks:\n"
        "- {gpus: 8, count: 7, arrival: 0, duration: 60}\n- {gpus: 1, arrival: 100, duration: 1}\n"
    )
    status, out, err = nova_gpu(
        "simulate",
        *openb[:2],
        "--tasks",
        trace,
        "--times",
        "--ranker",
        "pack",
        "--long",
        "-f",
        "json",
    )
    assert status == 0, err
    (row,) = json.loads(out)
    assert row["Longest Wait s"]["mean"] == 60
    assert row["Waited"]["mean"] == 1
    assert row["Refused"]["mean"] == 0


def test_the_effect_of_added_hosts(nova_gpu, inventory):
    status, out, err = nova_gpu(
        "simulate", "--inventory", inventory, "--add", "2xHGX-H100", "--ranker", "pack",
        "--flavor", "gpu.h100-sxm.8", "--long", "-f", "json",
    )  # fmt: skip
    assert status == 0, err
    now, then = json.loads(out)
    assert (now["Fleet"], then["Fleet"]) == ("now", "with 2xHGX-H100")
    assert (now["Servers"]["mean"], then["Servers"]["mean"]) == (1, 3)
    assert now["First Refused"] == {"gpu.h100-sxm.8": 30}
    assert set(now["Before Refusal"]["gpu.h100-sxm.8"]["per_seed"]) == {1}


@pytest.mark.parametrize("further", [(), ("--add", "1xn0")])
def test_a_plot(nova_gpu, openb, tmp_path, further):
    path = tmp_path / "plot.png"
    status, _, err = nova_gpu("simulate", *openb, "--ranker", "pack", "--plot", path, *further)
    assert status == 0, err
    assert path.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    "further, expected",
    [
        (("--ranker", "pakc"), "ranker pakc is not known, expected one of: best-fit, fgd"),
        (("--plot", "x.gif"), "expected a file that ends in .png or .svg"),
        (("--times",), "not all tasks of the trace have an arrival time; leave out --times"),
        (("--times", "--add", "1xn0"), "--times cannot be combined with --add or --flavor"),
        (("--add", "1xn9"), "no board or host is named n9"),
        (("--flavor", "gpus=1"), "--tasks and --flavor both"),
        (("--seeds", "0"), "'0', expected a whole number from 1 to 1000000"),
        (("--requested", "x"), "'x', expected a number above 0, up to 1000"),
        (("--ranker", "pack,"), "'pack,', expected names of rankers"),
    ],
)
def test_invalid_arguments(nova_gpu, openb, further, expected):
    status, out, err = nova_gpu("simulate", *openb, *further)
    assert (status, out) == (2, "")
    assert expected in err


def test_a_missing_column(nova_gpu, openb):
    openb[3].write_text(TASKS.replace("num_gpu", "gpus"))
    status, _, err = nova_gpu("simulate", *openb)
    assert status == 2
    assert "tasks.csv:1: there is no column num_gpu; expected a list of tasks in CSV" in err


def test_hosts_have_one_source(nova_gpu, openb, tmp_path, monkeypatch):
    status, _, err = nova_gpu("simulate", *openb, "--fleet", tmp_path / "fleet.yaml")
    assert status == 2
    assert "hosts come from --fleet, or from --nodes" in err
    # The command line overrides the environment.
    monkeypatch.setenv("NOVA_GPU_FLEET", str(tmp_path / "fleet.yaml"))
    assert nova_gpu("simulate", *openb, "--ranker", "pack")[0] == 0


def test_ctrl_c_is_one_sentence(nova_gpu, openb, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(batch, "replay", interrupted)
    status, out, err = nova_gpu("simulate", *openb)
    assert (status, out) == (130, "")
    assert err.splitlines()[-1] == "nova-gpu: interrupted: no results were listed or drawn"


def test_without_numpy_the_message_says_what_to_install(nova_gpu, openb, monkeypatch):
    real = builtins.__import__

    def without(name, *rest, **more):
        if name == "numpy":
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    status, _, err = nova_gpu("simulate", *openb)
    assert status == 2
    assert "nova-gpu simulate needs numpy" in err


def test_servers_that_fit_are_simulated_with_enough_seeds(nova_gpu, inventory):
    arguments = ("simulate", "--inventory", inventory, "--add", "1xHGX-H100", "--ranker", "pack")
    status, out, err = nova_gpu(*arguments, "-f", "json")
    assert status == 0, err
    now, then = json.loads(out)
    assert len(now["Servers"]["per_seed"]) == len(then["Servers"]["per_seed"]) == 30
    assert "all hosts are empty at the beginning" in err
    assert "with 30 seeds: numbers are mean ± standard deviation" in err
    assert "nova-gpu capacity --add counts on the servers that the cloud has" in err
    _, out, err = nova_gpu(*arguments, "-f", "json", "--seeds", 1)
    assert len(json.loads(out)[0]["Servers"]["per_seed"]) == 1
    assert "with 1 seed: " in err
