# SPDX-License-Identifier: Apache-2.0
"""A whole cloud over HTTP: applied, then read, is what the fleet file says."""

import pytest

from nova_gpu_passthrough.cloud.apply import execution, plan
from nova_gpu_passthrough.cloud.apply.api import Api
from nova_gpu_passthrough.cloud.apply.record import Ledger, Record, cloud_of
from nova_gpu_passthrough.cloud.lint import checks, drift, reading
from nova_gpu_passthrough.cloud.lint.facts import Facts
from tests.unit.cloud.clouds import run_computes
from tests.unit.cloud.lint.builders import Site

QUOTAS = {"default": {"servers": 10, "vcpus": 1000, "ram_mib": 10**7, "h100-sxm": 8}}


class Applied:
    """A cloud after ``apply``, with its record."""

    def __init__(self, cloud, site):
        self.cloud, self.site = cloud, site
        self.providers = run_computes(cloud, site.resolved)
        connection = cloud.connection()
        self.record = Record("test", cloud_of(connection))
        api = Api(connection)
        found = plan.compare(api, site.desired, self.record)
        assert not execution.run(api, found, Ledger(self.record, self._keep))

    def _keep(self, record):
        self.record = record

    def facts(self):
        """What lint looks at now."""
        read = reading.read(
            self.cloud.connection(), self.site.resolved, self.site.desired, self.record
        )
        facts = self.site.facts()
        return Facts(facts.resolved, facts.desired, facts.made, facts.services, read)

    def found(self):
        """Ids and subjects of what lint finds."""
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
    assert applied.found() == []
    asked = {method for method, path in applied.cloud.requests if not path.endswith("/auth/tokens")}
    assert asked == {"GET"}


def test_what_others_change_in_the_cloud_is_found(applied):
    nova = applied.cloud.nova
    flavor = next(f for f in nova.flavors.values() if f["name"] == "gpu.l40s.1")
    flavor["extra_specs"]["pci_passthrough:alias"] = "l40:1"
    nova.services[0]["status"] = "disabled"
    # What Nova shows is not what is in Keystone.
    nova.default_quotas["instances"] = 20
    told = [
        ("flavor.alias_unknown", "flavor gpu.l40s.1"),
        ("host.disabled", "host hgx1"),
        ("cloud.flavor", "flavor gpu.l40s.1"),
        ("quota.driver_at_work", "quotas"),
    ]
    assert sorted(applied.found()) == sorted(told)
    drifted = drift.findings(
        applied.facts(), applied.site.desired, applied.record, "fleet.applied.yaml"
    )
    # Drift compares; it does not judge what a flavor asks for.
    assert sorted((f.id, f.subject) for f in drifted) == sorted(told[1:])
