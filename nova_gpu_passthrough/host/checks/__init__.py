# SPDX-License-Identifier: Apache-2.0
"""The checks of the audit: functions that read an inventory's facts and return findings."""

from collections.abc import Callable, Iterator

from nova_gpu_passthrough.host.checks import (
    acs,
    bars,
    drivers,
    grouping,
    identity,
    iommu,
    kernel,
    link,
    numa,
    reset,
    sriov,
)
from nova_gpu_passthrough.inventory.findings import Finding
from nova_gpu_passthrough.inventory.model import Inventory

#: In the order in which an operator fixes findings: the host first, then each GPU.
CHECKS: tuple[Callable[[Inventory], Iterator[Finding]], ...] = (
    iommu.check,
    acs.check,
    kernel.check,
    numa.check,
    identity.check,
    grouping.check,
    drivers.check,
    sriov.check,
    reset.check,
    bars.check,
    link.check,
)
