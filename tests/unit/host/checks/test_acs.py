# SPDX-License-Identifier: Apache-2.0
"""Access control services above GPUs."""

import dataclasses

from nova_gpu_passthrough.host.checks.acs import check
from nova_gpu_passthrough.inventory.findings import Severity
from nova_gpu_passthrough.inventory.host import Iommu
from tests.unit.audited import HGX, audit_machine, changed, only


def _port(inventory):
    """A bridge above a GPU that has ACS."""
    return next(
        bridge
        for bridge in inventory.device(inventory.gpus[0]).bridges
        if inventory.by_address[bridge].acs
    )


def test_without_root_it_is_not_told():
    finding = only(check(audit_machine(HGX)), "acs.untold")
    assert "takes root" in finding.found


def test_ports_that_have_it_on_are_counted():
    inventory = audit_machine(HGX, full_config=True)
    finding = only(check(inventory), "acs.on")
    above = {bridge for gpu in inventory.gpus for bridge in inventory.device(gpu).bridges}
    told = [bridge for bridge in above if inventory.by_address[bridge].acs is not None]
    assert 0 < len(told) < len(above)
    assert f"at {len(told)} of {len(above)} bridges" in finding.found


def test_a_port_that_has_it_off_is_named():
    inventory = audit_machine(HGX, full_config=True)
    port = _port(inventory)
    finding = only(check(changed(inventory, port, acs=())), "acs.off")
    assert finding.severity is Severity.WARNING
    assert port in finding.found


def test_without_an_iommu_the_kernel_does_not_switch_it_on():
    inventory = audit_machine(HGX, full_config=True)
    off = dataclasses.replace(changed(inventory, _port(inventory), acs=()), iommu=Iommu())
    assert not list(check(off))
