# SPDX-License-Identifier: Apache-2.0
"""Models and power limits of GPUs."""

import dataclasses

import pytest

from nova_gpu_passthrough.host.checks.identity import check
from nova_gpu_passthrough.inventory.findings import Severity
from tests.unit.audited import HGX, audit_machine, changed, only

GPU = "0000:18:00.0"


def _one(**changes):
    """Return the host with one GPU only."""
    facts = audit_machine(HGX)
    return dataclasses.replace(facts, gpus=(dataclasses.replace(facts.gpus[0], **changes),))


def test_a_host_without_gpus():
    (finding,) = check(dataclasses.replace(audit_machine(HGX), gpus=()))
    assert finding.id == "gpu.none"
    assert finding.severity is Severity.WARNING
    assert "79 PCI functions" in finding.found


@pytest.mark.parametrize(
    ("source", "identity"),
    [
        ("catalogue", "gpu.model"),
        ("operator", "gpu.model"),
        ("pci.ids", "gpu.model_unknown"),
        ("ids", "gpu.model_unknown"),
    ],
)
def test_the_source_of_the_model(source, identity):
    (finding,) = check(_one(model="X", model_source=source))
    assert finding.id == identity
    assert finding.found == f"10de:2330 class 0302 is X ({source})"


def test_known_power_is_reported():
    inventory = changed(
        _one(), GPU, slot_power_watts=75.0, power_watts=125.5, power_cap_watts=700.0
    )
    finding = only(check(inventory), "power.told")
    assert finding.found == "slot limit 75 W, draws 125.5 W, cap 700 W"


def test_a_power_draw_of_zero_is_reported():
    finding = only(check(changed(_one(), GPU, power_watts=0.0)), "power.told")
    assert finding.found == "draws 0 W"
