# SPDX-License-Identifier: Apache-2.0
import pytest

from nova_gpu_passthrough.cloud.lint import checks
from tests.unit.cloud.lint.builders import QUOTAS, Site
from tests.unit.cloud.lint.clouds import clean_cloud


@pytest.fixture(scope="session")
def _clean(tmp_path_factory):
    return Site(tmp_path_factory.mktemp("clean"))


@pytest.fixture
def site(_clean, tmp_path):
    """A fleet with clean configuration."""
    return _clean.copy(tmp_path)


@pytest.fixture(scope="session")
def _limited(tmp_path_factory):
    return Site(tmp_path_factory.mktemp("limited"), quotas=QUOTAS)


@pytest.fixture
def limited(_limited, tmp_path):
    """A fleet with quotas, and its cloud."""
    site = _limited.copy(tmp_path)
    site.cloud = clean_cloud(site)
    return site


@pytest.fixture
def all_findings():
    """Return ids, subjects and severities of all findings."""

    def look(site):
        return [(f.id, f.subject, str(f.severity)) for f in checks.findings(site.facts())]

    return look


@pytest.fixture
def only_finding():
    """Return the only finding."""

    def look(site):
        findings = checks.findings(site.facts())
        assert len(findings) == 1, "\n".join(map(str, findings))
        return findings[0]

    return look
