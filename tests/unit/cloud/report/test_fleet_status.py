# SPDX-License-Identifier: Apache-2.0
"""The status in numbers and sentences."""

import dataclasses

from hypothesis import given

from nova_gpu_passthrough.cloud.quota.model import (
    ActiveDriver,
    CloudQuotas,
    LimitOrigin,
    ProjectQuotas,
    ResourceQuota,
)
from nova_gpu_passthrough.cloud.report import fleet_status
from nova_gpu_passthrough.cloud.report.fleet_status import (
    Attention,
    FlavorStatus,
    FreeBlock,
    ModelStatus,
    QuotaStatus,
)
from nova_gpu_passthrough.inventory.findings import Finding, Severity
from tests.unit.cloud.report import fleets, strategies

H100 = "class:CUSTOM_GPU_H100_SXM"


def finding(key, severity=Severity.FAILURE, subject="x"):
    return Finding(key, severity, subject, "found", "where")


def quotas(all_projects=True, **used_and_limits):
    """Quotas of projects on one model: amount used, limit and its origin."""
    return CloudQuotas(
        ActiveDriver.UNIFIED_LIMITS,
        tuple(
            ProjectQuotas(f"id-{name}", name, {H100: ResourceQuota(H100, limit, used, origin)})
            for name, (used, limit, origin) in used_and_limits.items()
        ),
        {H100: "H100-SXM"},
        all_projects,
    )


def test_gpus_by_model():
    status = fleet_status.make(fleets.four())
    assert status.models == (
        ModelStatus("H100-SXM", 16, 8, 5, usable=4, held=1, stuck=1, missing=1),
        ModelStatus("L40S", 4, 1, 3, usable=0, held=0, stuck=0, missing=0),
    )
    assert (status.cloud, status.fleet) == ("prod RegionOne", "paris-1")
    assert status.taken_at == fleets.TAKEN_AT


@given(strategies.snapshots())
def test_the_columns_of_a_model_add_up(snapshot):
    for one in fleet_status.make(snapshot).models:
        assert one.total == one.in_use + one.free + one.held + one.stuck + one.missing
        assert 0 <= one.usable <= one.free


def test_the_largest_flavor_and_the_largest_that_fits():
    assert fleet_status.make(fleets.four()).flavors == (
        FlavorStatus("gpu.h100.8", "H100-SXM", 8, 0, 0, True, ""),
        FlavorStatus("gpu.h100.2", "H100-SXM", 2, 1, 1, True, "numa"),
        FlavorStatus("gpu.l40s.1", "L40S", 1, 0, 0, False, "host"),
    )
    assert [one.flavor for one in fleet_status.make(fleets.one()).flavors] == ["gpu.h100.1"]


def test_of_two_flavors_of_one_size_the_one_that_fits():
    found = fleets.one()
    (flavor,) = found.capacity.flavors
    full = dataclasses.replace(flavor, flavor="other", servers=0, by_host={"gpu01": 0})
    found = fleets.snapshot(found.view, [full, flavor])
    assert [one.flavor for one in fleet_status.make(found).flavors] == ["gpu.h100.1"]


def test_without_a_fleet_file_only_free_gpus_on_one_host_are_known():
    status = fleet_status.make(dataclasses.replace(fleets.four(), counted=False))
    assert status.flavors is None
    assert status.free_blocks == (FreeBlock("H100-SXM", "gpu02", 4),)


def test_what_needs_attention():
    assert fleet_status.make(fleets.four()).attention == (
        Attention("1 host is disabled (gpu03: new fans on Friday)", "nova-gpu host list --long"),
        Attention(
            "1 GPU is stuck: allocated to a server that cannot use it (gpu02)",
            "nova-gpu device list --state stuck",
        ),
        Attention("1 GPU is missing in Placement (gpu02)", "nova-gpu device list --state missing"),
        Attention(
            "1 GPU is held: reserved in Placement, so that no server gets it (gpu02)",
            "nova-gpu device list --state reserved",
        ),
        Attention(
            "1 free GPU is stranded: no server of any flavor fits beside the others there (gpu01)",
            "nova-gpu capacity --stranded",
        ),
        Attention("1 GPU server is on no host (too-big)", "nova-gpu explain too-big"),
    )
    assert fleet_status.make(fleets.one()).attention == ()


def test_hosts_that_take_no_servers_are_named_up_to_a_number():
    host = fleets.one().view.hosts[0]
    states = {
        "down": {"up": False},
        "unknown to Nova": {"known": False},
        "without resource provider in Placement": {"provider": None},
    }
    for state, change in states.items():
        hosts = [dataclasses.replace(host, name=f"gpu{n}", **change) for n in range(1, 13)]
        found = fleets.snapshot(fleets.view(*hosts), ())
        assert fleet_status.make(found).attention == (
            Attention(
                f"12 hosts are {state} (gpu1, gpu2, gpu3, gpu4 and 8 more)",
                "nova-gpu host list --long",
            ),
        )


def test_findings_of_lint_are_counted_by_severity():
    status = fleet_status.make(
        fleets.one(),
        findings=[
            finding("host.traits"),
            finding("host.traits", subject="y"),
            finding("alias.unused", Severity.WARNING),
            finding("cloud.flavor", subject="flavor gpu.h100.1"),
            finding("cloud.limit", subject="limit a"),
            finding("cloud.limit", subject="limit b"),
            # What the status says itself, and with a command that says more.
            finding("host.down"),
            finding("device.stuck"),
            finding("device.missing"),
        ],
    )
    assert status.attention == (
        Attention(
            "3 differences between fleet file and cloud (flavor gpu.h100.1, limit a, limit b)",
            "nova-gpu apply --dry-run",
        ),
        Attention("lint finds 2 failures (host.traits)", "nova-gpu lint"),
        Attention("lint finds 1 warning (alias.unused)", "nova-gpu lint"),
    )


def test_projects_that_use_most_come_first():
    found = quotas(
        idle=(0, 0, LimitOrigin.DEFAULT),
        limited=(0, 4, LimitOrigin.PROJECT),
        small=(1, 8, LimitOrigin.PROJECT),
        large=(8, None, LimitOrigin.NONE),
        hidden=(7, None, LimitOrigin.UNKNOWN),
    )
    assert fleet_status.make(fleets.one(), found).quotas == (
        QuotaStatus("large", "H100-SXM", 8, None),
        QuotaStatus("hidden", "H100-SXM", 7, None, limit_known=False),
        QuotaStatus("small", "H100-SXM", 1, 8),
        QuotaStatus("limited", "H100-SXM", 0, 4),
    )
    assert fleet_status.make(fleets.one()).quotas is None


def test_the_only_project_of_a_reader_counts_in_any_case():
    found = quotas(False, own=(0, 0, LimitOrigin.DEFAULT))
    assert fleet_status.quota_use(found) == (QuotaStatus("own", "H100-SXM", 0, 0),)
