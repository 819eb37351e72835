# SPDX-License-Identifier: Apache-2.0
from tests.unit.cloud.lint.builders import Site


def test_a_flavor_that_the_fleet_file_asks_for_and_no_host_can_boot_is_told(tmp_path, only):
    flavors = [{"model": "H100-SXM", "counts": [1], "vcpus_per_gpu": 1000}]
    finding = only(Site(tmp_path, flavors=flavors))
    assert (finding.id, finding.severity) == ("fleet.flavor_refused", "warning")
    assert finding.source.endswith("fleet")
