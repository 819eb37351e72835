# SPDX-License-Identifier: Apache-2.0
import dataclasses

import pytest

from nova_gpu_passthrough.cloud.fit import explanation
from nova_gpu_passthrough.cloud.fit.host_explanation import HostAnswer
from nova_gpu_passthrough.cloud.fit.subject import ServerSubject, of_flavor
from nova_gpu_passthrough.cloud.view.model import DeviceState
from nova_gpu_passthrough.errors import UserError
from nova_gpu_passthrough.fleet.settings import Settings
from nova_gpu_passthrough.scheduler.refusal_log import RefusalLog
from nova_gpu_passthrough.topology.fit import FitReason, FitRefusal
from tests.unit.cloud import builders, clouds
from tests.unit.generate import builders as inventories

NAMES = ("hgx1", "hgx2", "hgx3")
FLEET = clouds.fleet(*map(inventories.hgx, NAMES), inventories.l40s("l40s1"))
GPUS = [f"0000:{bus:02x}:00.0" for bus in range(0x20, 0x28)]
#: One switch has two free GPUs; no switch has; no GPU is free; there are other GPUs.
HOSTS = (
    builders.host(FLEET, "hgx1", dict.fromkeys(GPUS[2:], DeviceState.IN_USE)),
    builders.host(FLEET, "hgx2", dict.fromkeys(GPUS[1::2], DeviceState.IN_USE)),
    builders.host(FLEET, "hgx3", dict.fromkeys(GPUS, DeviceState.IN_USE)),
    builders.host(FLEET, "l40s1"),
)
PAIR = builders.flavor("pair", 2, gpu__switch="required")


def explain(view, subject, fleet=FLEET):
    return explanation.explain(view, fleet, subject)


def of_server(status="ERROR", host=None, flavor=PAIR, **changes):
    found = of_flavor(flavor)
    return dataclasses.replace(
        found,
        filtered=dataclasses.replace(
            found.filtered, zone=changes.get("zone"), projects=frozenset(("p1",))
        ),
        server=ServerSubject("id-of-train", "train", status, host, **changes),
    )


def answers(explained):
    return {one.host: one.answer for one in explained.hosts}


def test_hosts_that_fit_are_first_then_those_refused_late():
    explained = explain(builders.view(*HOSTS), of_flavor(PAIR))
    assert [one.host for one in explained.hosts] == ["hgx1", "hgx2", "hgx3", "l40s1"]
    assert [one.answer for one in explained.hosts] == [HostAnswer.FITS] + [HostAnswer.REFUSED] * 3


def test_the_summary_counts_answers():
    explained = explain(builders.view(*HOSTS), of_flavor(PAIR))
    assert explained.summary[0] == (
        "Flavor pair (GPU request h100-sxm:2 switch=required): 1 of 4 hosts take such a server "
        "now; refused: 2 by Placement (gpus), 1 by GpuPassthroughFilter (switch)"
    )


def test_the_summary_contains_the_log_message_of_the_filter(logged):
    explained = explain(builders.view(*HOSTS), of_flavor(PAIR))
    refusal_log = RefusalLog("SERVER", "h100-sxm:2 switch=required")
    refusal_log.count_passed()
    refusal_log.count_refused("hgx2", FitRefusal(FitReason.SWITCH, ""))
    refusal_log.log_summary(20)
    (line,) = logged("INFO")
    line = line.replace(" of server SERVER", "")
    assert explained.summary[-1] == f"nova-scheduler would log: {line}"


def test_a_host_that_the_numa_filter_refuses_fits_for_the_gpu_filter():
    flavor = builders.flavor("paged", 1, hw__mem_page_size="1GB")
    explained = explain(builders.view(HOSTS[0]), of_flavor(flavor))
    (one,) = explained.hosts
    assert one.refusal.label == "by NUMATopologyFilter (numa)"
    assert "MiB in pages of 4 KiB" in one.detail
    assert explained.summary[-1].endswith("1 of 1 hosts fit")


def test_without_candidates_the_filter_logs_nothing():
    explained = explain(builders.view(HOSTS[2], HOSTS[3]), of_flavor(PAIR))
    assert explained.summary[-1] == "nova-scheduler would find no host: Placement returns none"


def test_the_summary_of_a_server_in_error_has_its_fault_and_the_current_time():
    subject = of_server(fault="No valid host was found", since="2026-01-01T00:00:00Z")
    explained = explain(builders.view(*HOSTS), subject)
    assert explained.summary[0] == (
        "Server train (id-of-train) of flavor pair (GPU request h100-sxm:2 switch=required) is "
        "ERROR on no host: No valid host was found (since 2026-01-01T00:00:00Z)"
    )
    assert explained.summary[1].startswith(
        f"Hosts, as they are now ({builders.NOW}) and not as they were then: 1 of 4 hosts"
    )


def test_the_own_host_of_a_server_is_first():
    server = builders.server("train", 0, range(2, 4), host="hgx2", of="pair")
    device_owners = {GPUS[0]: server.id, GPUS[1]: server.id}
    host = builders.host(FLEET, "hgx2", servers=[server], device_owners=device_owners)
    explained = explain(builders.view(HOSTS[0], host), of_server("ACTIVE", "hgx2"))
    assert [one.host for one in explained.hosts] == ["hgx2", "hgx1"]
    assert answers(explained) == {"hgx2": HostAnswer.HERE, "hgx1": HostAnswer.FITS}
    assert "is ACTIVE on hgx2" in explained.summary[0]
    assert "1 of 1 hosts take such a server now" in explained.summary[1]


def test_a_server_on_a_host_without_gpus_is_on_no_gpu_host():
    explained = explain(builders.view(*HOSTS), of_server("ACTIVE", "cpu01"))
    assert HostAnswer.HERE not in answers(explained).values()


def test_a_pinned_zone_refuses_other_hosts():
    aggregates = {"west": {"availability_zone": "west"}}
    view = builders.view(*HOSTS[:2], aggregates=aggregates)
    explained = explain(view, of_server(zone="west"))
    assert {one.refusal.label for one in explained.hosts} == {"by Placement (aggregate)"}


def test_the_filters_decide_for_the_project_of_the_server():
    reserved = dataclasses.replace(HOSTS[0], aggregates={"ml": {"filter_tenant_id": "p2"}})
    fleet = clouds.fleet(
        *map(inventories.hgx, NAMES),
        settings=Settings(enabled_filters=("AggregateMultiTenancyIsolation",)),
    )
    explained = explain(builders.view(reserved, HOSTS[2]), of_server(), fleet)
    assert [(one.host, one.refusal.label) for one in explained.hosts] == [
        ("hgx1", "by AggregateMultiTenancyIsolation (project)"),
        ("hgx3", "by Placement (gpus)"),
    ]
    # GpuPassthroughFilter never sees the host that the other filter refuses.
    assert explained.summary[-1] == (
        "nova-scheduler would find no host: filters before GpuPassthroughFilter refuse all"
    )
    flavor = explain(builders.view(reserved), of_flavor(PAIR), fleet)
    assert [one.answer for one in flavor.hosts] == [HostAnswer.FITS]
    assert flavor.notes[0] == (
        "hgx1 takes only servers of project p2: add --project to ask for one project"
    )


def test_a_server_without_gpus_is_explained_with_a_note():
    explained = explain(builders.view(*HOSTS), of_flavor(builders.flavor("cpu", 0)))
    assert set(answers(explained).values()) == {HostAnswer.FITS}
    assert "requests no GPUs" in explained.summary[0]
    assert "hosts without GPUs are not considered" in explained.notes[0]


def test_uncertainties_are_noted():
    flavor = builders.flavor("pair", 2, hw__pmem="1GB")
    explained = explain(builders.view(builders.bare(HOSTS[0])), of_flavor(flavor))
    assert explained.notes[0] == "flavor pair: extra spec hw:pmem is ignored"
    assert explained.notes[1].startswith("hgx1: the fleet has no inventory of it")


def test_a_policy_that_ranks_whole_hosts_shows_no_weight():
    settings = Settings(policy="fragmentation")
    fleet = clouds.fleet(inventories.hgx("hgx1"), settings=settings)
    explained = explain(builders.view(HOSTS[0]), of_flavor(PAIR), fleet)
    assert explained.hosts[0].weight is None
    assert "weights are not shown" in explained.notes[-1]


def test_a_flavor_that_nova_refuses_is_an_error():
    subject = dataclasses.replace(
        of_flavor(PAIR), flavor="odd", extra_specs={"pci_passthrough:alias": "b200:1"}
    )
    with pytest.raises(UserError, match="flavor odd: pci_passthrough:alias names b200"):
        explain(builders.view(*HOSTS), subject)
