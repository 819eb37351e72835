# SPDX-License-Identifier: Apache-2.0
import dataclasses

import pytest

from tests.unit.cloud.lint.builders import Site
from tests.unit.cloud.lint.clouds import clean_cloud, with_flavor

GOOD = {
    "pci_passthrough__alias": "h100-sxm:1",
    "hw__cpu_policy": "dedicated",
    "hw__numa_nodes": "1",
    "hw__pci_numa_affinity_policy": "required",
    "hw__maxphysaddr_mode": "passthrough",
}


def test_a_valid_gpu_flavor_is_accepted(site, all_findings):
    site.cloud = with_flavor(clean_cloud(site), "mine", **GOOD)
    assert all_findings(site) == []


@pytest.mark.parametrize(
    ("specs", "identity", "severity", "words"),
    [
        (
            {"pci_passthrough__alias": "h100-sxm"},
            "flavor.alias_invalid",
            "failure",
            "is not <alias>:<count>",
        ),
        ({"pci_passthrough__alias": "h200:1"}, "flavor.alias_unknown", "failure", "h200"),
        ({"gpu__link": "always"}, "flavor.extra_spec", "failure", "gpu:link"),
        ({"gpu__links": "none"}, "flavor.extra_spec", "failure", "unknown"),
        ({"hw__cpu_policy": "pinned"}, "flavor.refused", "failure", "hw:cpu_policy"),
        ({"trait__CUSTOM_NO": "required"}, "flavor.trait_unknown", "failure", "CUSTOM_NO"),
        ({"trait__CUSTOM_NO": "forbidden"}, "flavor.trait_unknown", "failure", "CUSTOM_NO"),
        (
            {"trait__CUSTOM_GPU_NUMA_0": "required"},
            "flavor.trait_misplaced",
            "failure",
            "CUSTOM_GPU_NUMA_0",
        ),
        (
            {"resources__CUSTOM_GPU_H100_SXM": "1"},
            "flavor.resource_only",
            "failure",
            "does not get",
        ),
    ],
)
def test_invalid_extra_specs_are_reported(site, only_finding, specs, identity, severity, words):
    site.cloud = with_flavor(clean_cloud(site), "mine", **{**GOOD, **specs})
    finding = only_finding(site)
    assert (finding.id, finding.severity) == (identity, severity)
    assert (finding.subject, finding.source) == ("flavor mine", "Nova, flavor id-mine")
    assert words in finding.found


def test_an_alias_in_the_configuration_of_nova_api_is_known(site, all_findings):
    for host in ("control", "hgx1", "l40s1"):
        site.add(
            host, '[pci]\nalias = {"name": "qat", "vendor_id": "8086", "product_id": "4940"}\n'
        )
    site.cloud = with_flavor(clean_cloud(site), "mine", pci_passthrough__alias="qat:1")
    assert all_findings(site) == []


def test_without_nova_apis_configuration_an_unknown_alias_is_only_a_warning(site):
    from nova_gpu_passthrough.cloud.lint import checks

    site.cloud = with_flavor(clean_cloud(site), "mine", pci_passthrough__alias="qat:1")
    facts = dataclasses.replace(site.facts(), services=())
    assert [(f.id, f.severity) for f in checks.findings(facts)] == [
        ("flavor.alias_unknown", "warning")
    ]


def test_a_flavor_of_the_fleet_is_checked_once(site, all_findings):
    """The flavor in the cloud is checked only if it differs."""
    site.cloud = clean_cloud(site)
    name = site.desired.flavors[0].name
    flavors = tuple(
        dataclasses.replace(f, extra_specs={**f.extra_specs, "gpu:link": "x"})
        if f.name == name
        else f
        for f in site.cloud.view.flavors
    )
    view = dataclasses.replace(site.cloud.view, flavors=flavors)
    site.cloud = dataclasses.replace(site.cloud, view=view)
    assert all_findings(site) == [("flavor.extra_spec", f"flavor {name}", "failure")]


def test_fixed_flavors_of_the_fleet_file_are_checked_without_a_cloud(tmp_path, only_finding):
    flavor = {
        "name": "odd",
        "vcpus": 2,
        "ram_mib": 2048,
        "extra_specs": {"trait:CUSTOM_GPU_MODEL_H100_SXM": "required"},
    }
    finding = only_finding(Site(tmp_path, fixed_flavors=[flavor]))
    assert finding.id == "flavor.trait_misplaced"
    assert finding.source.endswith("fleet")
