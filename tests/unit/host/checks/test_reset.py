# SPDX-License-Identifier: Apache-2.0
"""Reset methods and D3cold."""

import pytest

from nova_gpu_passthrough.host.checks.reset import check
from nova_gpu_passthrough.inventory.findings import Remedy, Severity
from tests.unit.audited import HGX, audit_machine, changed

GPU = "0000:18:00.0"


def _findings(**changes):
    values = {"reset_methods": None, "d3cold_allowed": None, "power_state": None}
    inventory = changed(audit_machine(HGX), GPU, **(values | changes))
    return [finding for finding in check(inventory) if finding.subject == GPU]


@pytest.mark.parametrize("methods", [("flr",), ("bus",), ("pm", "bus"), ("device_specific",)])
def test_any_reset_method_suffices(methods):
    (finding,) = _findings(reset_methods=methods)
    assert finding.id == "reset.possible"
    assert finding.found == " ".join(methods)


def test_no_method_is_a_failure_of_the_hardware():
    (finding,) = _findings(reset_methods=())
    assert (finding.id, finding.severity, finding.remedy) == (
        "reset.none",
        Severity.FAILURE,
        Remedy.HARDWARE,
    )


def test_facts_missing_in_an_old_kernel_are_no_defect():
    assert _findings() == []


@pytest.mark.parametrize(
    ("state", "allowed", "identity"),
    [
        ("D3cold", True, "power.d3cold"),
        ("D3cold", False, "power.d3cold"),
        ("D0", True, "power.d3cold_allowed"),
        ("D3hot", True, "power.d3cold_allowed"),
        ("D0", False, "power.d3cold_forbidden"),
        (None, False, "power.d3cold_forbidden"),
    ],
)
def test_d3cold(state, allowed, identity):
    (finding,) = _findings(power_state=state, d3cold_allowed=allowed)
    assert finding.id == identity
