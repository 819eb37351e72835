# SPDX-License-Identifier: Apache-2.0
import pytest

from nova_gpu_passthrough.cloud.quota import caller, flavor_quota
from nova_gpu_passthrough.cloud.quota.flavor_quota import QuotaAnswer
from nova_gpu_passthrough.cloud.quota.model import ActiveDriver
from nova_gpu_passthrough.cloud.view import flavors
from nova_gpu_passthrough.cloud.view.reader import CloudReader
from tests.unit.cloud import clouds
from tests.unit.cloud.quota.builders import H100, use, use_unified_limits
from tests.unit.generate import builders

PINNED = {"hw__cpu_policy": "dedicated"}


def add(cloud, gpus, vcpus=4, ram=1024, alias="h100-sxm", **extra_specs):
    return cloud.nova.add_flavor(
        f"gpu.{gpus}", vcpus, ram, pci_passthrough__alias=f"{alias}:{gpus}", **extra_specs
    )


def answers(cloud, user="alice", resolved=None):
    """Return driver, answers by flavor and notes."""
    connection = cloud.connection(user)
    reader = CloudReader(connection)
    found, notes = flavor_quota.find_flavors(flavors.read_own(reader), resolved)
    own = flavor_quota.read(reader, caller.read(connection), found)
    by_name = {one.flavor.name: flavor_quota.answer(own, one) for one in found}
    return own.driver, by_name, [*notes, *own.notes]


def test_gpus_run_out_first(cloud):
    use_unified_limits(cloud, h100=8)
    use(cloud, "admin", {"CUSTOM_GPU_H100_SXM": 3})
    add(cloud, 1)
    add(cloud, 2)
    cloud.nova.add_flavor("cpu")
    driver, found, notes = answers(cloud)
    assert driver is ActiveDriver.UNIFIED_LIMITS
    assert found == {
        "gpu.1": QuotaAnswer(5, "5 of 8 H100-SXM left"),
        "gpu.2": QuotaAnswer(2, "5 of 8 H100-SXM left"),
    }
    assert notes == []


@pytest.mark.parametrize(
    ("specs", "used", "limited_by"),
    [
        (PINNED, {"PCPU": 93}, "7 of 100 dedicated vCPUs left"),
        ({}, {"VCPU": 93}, "7 of 100 vCPUs left"),
        ({}, {"MEMORY_MB": 64000}, "1536 of 65536 MiB of RAM left"),
    ],
)
def test_other_resources_can_run_out_first(cloud, specs, used, limited_by):
    use_unified_limits(cloud, h100=8)
    use(cloud, "admin", used)
    add(cloud, 1, **specs)
    assert answers(cloud)[1] == {"gpu.1": QuotaAnswer(1, limited_by)}


def test_servers_can_run_out_first(cloud):
    use_unified_limits(cloud, h100=100)
    flavor = add(cloud, 1)
    for number in range(10):
        cloud.nova.add_server(f"s{number}", None, flavor, project="id-admin")
    assert answers(cloud)[1] == {"gpu.1": QuotaAnswer(0, "0 of 10 servers left")}


def test_companions_count(cloud):
    use_unified_limits(cloud, l40s=8)
    cloud.keystone.limit("class:CUSTOM_GPU_L40S_AUDIO", 1)
    add(cloud, 1, alias="l40s-audio:1,l40s")
    _, found, _ = answers(cloud)
    assert found == {"gpu.1": QuotaAnswer(1, "1 of 1 CUSTOM_GPU_L40S_AUDIO left")}


def test_a_project_limit_counts_and_not_the_default(cloud):
    use_unified_limits(cloud)
    cloud.keystone.limit(H100, 2, "admin")
    add(cloud, 1)
    assert answers(cloud)[1]["gpu.1"].servers == 2


def test_no_limit_permits_any_number(cloud):
    for resource in ("servers", "class:VCPU", "class:MEMORY_MB", H100):
        cloud.keystone.limit(resource, -1)
    cloud.nova.default_quotas = {"instances": -1, "cores": -1, "ram": -1, "key_pairs": 0}
    add(cloud, 1)
    driver, found, _ = answers(cloud)
    assert driver is ActiveDriver.UNIFIED_LIMITS
    assert found == {"gpu.1": QuotaAnswer(None)}


def test_a_limit_that_is_not_registered_is_noted(cloud):
    use_unified_limits(cloud, h100=None)
    add(cloud, 1)
    _, found, notes = answers(cloud)
    assert found["gpu.1"] == QuotaAnswer(10, "10 of 10 servers left")
    (note,) = notes
    assert note == (
        f"no limit of {H100} is registered: it is not limited, or an alias has another resource "
        "class, which only the fleet file names"
    )


def test_nova_s_own_quotas(cloud):
    flavor = add(cloud, 1, vcpus=8)
    cloud.nova.add_server("s", None, flavor, project="id-admin")
    driver, found, notes = answers(cloud)
    assert driver is ActiveDriver.NOVA
    assert found == {"gpu.1": QuotaAnswer(1, "12 of 20 vCPUs left")}
    assert "no GPUs" in notes[0]


def test_the_fleet_names_the_resource_class_of_an_alias(cloud):
    resolved = clouds.fleet(builders.l40s("l40s1"))
    use_unified_limits(cloud, l40s=1)
    add(cloud, 1, alias="l40s")
    assert answers(cloud, resolved=resolved)[1]["gpu.1"].servers == 1


def test_a_flavor_that_nova_refuses_is_left_out(cloud):
    use_unified_limits(cloud)
    cloud.nova.add_flavor("odd", pci_passthrough__alias="h100-sxm")
    _, found, notes = answers(cloud)
    assert not found
    assert notes[0].startswith("flavor odd is left out: pci_passthrough:alias is 'h100-sxm'")
