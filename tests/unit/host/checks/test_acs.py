# SPDX-License-Identifier: Apache-2.0
"""Access control services above GPUs."""

import dataclasses

from nova_gpu_passthrough.host.checks.acs import check
from nova_gpu_passthrough.inventory.findings import Severity
from nova_gpu_passthrough.inventory.host import Iommu
from tests.unit.audited import HGX, audit_machine, changed, only


def _port(inventory):
    """Return a bridge with ACS above a GPU."""
    return next(
        bridge
        for bridge in inventory.device(inventory.gpus[0]).bridges
        if inventory.by_address[bridge].acs
    )


def test_without_root_acs_is_unknown():
    finding = only(check(audit_machine(HGX)), "acs.untold")
    assert "only root" in finding.found


def test_ports_with_acs_are_counted():
    inventory = audit_machine(HGX, full_config=True)
    finding = only(check(inventory), "acs.on")
    above = {bridge for gpu in inventory.gpus for bridge in inventory.device(gpu).bridges}
    known = [bridge for bridge in above if inventory.by_address[bridge].acs is not None]
    assert 0 < len(known) < len(above)
    assert f"at {len(known)} of {len(above)} bridges" in finding.found


def test_a_port_without_acs_is_named():
    inventory = audit_machine(HGX, full_config=True)
    port = _port(inventory)
    finding = only(check(changed(inventory, port, acs=())), "acs.off")
    assert finding.severity is Severity.WARNING
    assert port in finding.found


def test_no_finding_about_acs_without_an_iommu():
    inventory = audit_machine(HGX, full_config=True)
    off = dataclasses.replace(changed(inventory, _port(inventory), acs=()), iommu=Iommu())
    assert not list(check(off))
