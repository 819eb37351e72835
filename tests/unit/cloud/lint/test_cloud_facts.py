# SPDX-License-Identifier: Apache-2.0
"""A simulated cloud over HTTP: after apply it matches the fleet file."""

import pytest

from nova_gpu_passthrough.cloud.apply import comparison, execution
from nova_gpu_passthrough.cloud.apply.record import Ledger, Record, cloud_identity
from nova_gpu_passthrough.cloud.apply.writer import CloudWriter
from nova_gpu_passthrough.cloud.lint import checks, cloud_facts, drift
from nova_gpu_passthrough.cloud.lint.facts import Facts
from tests.unit.cloud.clouds import run_computes
from tests.unit.cloud.lint.builders import Site

QUOTAS = {
    "default": {"servers": 10, "vcpus": 1000, "ram_mib": 10**7, "disk_gib": 9999, "h100-sxm": 8}
}


class Applied:
    """A cloud after ``apply``, with its record."""

    def __init__(self, cloud, site):
        self.cloud, self.site = cloud, site
        self.providers = run_computes(cloud, site.resolved)
        connection = cloud.connection()
        self.record = Record("test", cloud_identity(connection))
        api = CloudWriter(connection)
        plan = comparison.compare(api, site.desired, self.record)
        assert not execution.run(api, plan, Ledger(self.record, self._keep))

    def _keep(self, record):
        self.record = record

    def facts(self):
        """Return the current facts."""
        read = cloud_facts.read(
            self.cloud.connection(), self.site.resolved, self.site.desired, self.record
        )
        facts = self.site.facts()
        return Facts(facts.resolved, facts.desired, facts.flavor_plan, facts.services, read)

    def findings(self):
        """Return ids and subjects of all findings."""
        return [(f.id, f.subject) for f in checks.findings(self.facts())]


@pytest.fixture(scope="module")
def _quotas(tmp_path_factory):
    return Site(tmp_path_factory.mktemp("quotas"), quotas=QUOTAS)


@pytest.fixture
def applied(cloud, _quotas, tmp_path):
    """The fleet with quotas, applied."""
    cloud.nova.default_quotas = {"instances": 10, "cores": 1000, "ram": 10**7}
    return Applied(cloud, _quotas.copy(tmp_path))


def test_an_applied_cloud_is_clean_and_reading_changes_nothing(applied):
    applied.cloud.requests.clear()
    assert applied.findings() == []
    methods = {
        method for method, path in applied.cloud.requests if not path.endswith("/auth/tokens")
    }
    assert methods == {"GET"}


def test_changes_by_others_are_reported(applied):
    nova = applied.cloud.nova
    flavor = next(f for f in nova.flavors.values() if f["name"] == "gpu.l40s.1")
    flavor["extra_specs"]["pci_passthrough:alias"] = "l40:1"
    nova.services[0]["status"] = "disabled"
    # Nova shows other quotas than Keystone.
    nova.default_quotas["instances"] = 20
    expected = [
        ("flavor.alias_unknown", "flavor gpu.l40s.1"),
        ("host.disabled", "host hgx1"),
        ("cloud.flavor", "flavor gpu.l40s.1"),
        ("quota.driver_at_work", "quotas"),
    ]
    assert sorted(applied.findings()) == sorted(expected)
    drifted = drift.findings(
        applied.facts(), applied.site.desired, applied.record, "fleet.applied.yaml"
    )
    # Drift compares; it does not judge what a flavor requests.
    assert sorted((f.id, f.subject) for f in drifted) == sorted(expected[1:])
