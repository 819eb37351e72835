# SPDX-License-Identifier: Apache-2.0
"""Nova's own functional tests of PCI devices, with the filter and weigher in its scheduler.

Every alias of these tests counts as one for GPUs: what Nova alone serves must be served still.
"""

from __future__ import annotations

import inspect
import re
import warnings
from typing import Any

import tests.embedded  # noqa: F401  (settles the threading mode before Nova is imported)

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from nova import conf
    from nova.tests.functional.libvirt import test_pci_in_placement as in_placement
    from nova.tests.functional.libvirt import test_pci_sriov_servers as sriov

from nova_gpu_passthrough import conf as gpu_conf
from tests.embedded.cloud import GPU_FILTER, GPU_WEIGHER

ALIASES = sorted(
    {
        name
        for module in (sriov, in_placement)
        for name in re.findall(
            r"""(?:["']name["']: |ALIAS_NAME = )f?["']([\w-]+)["']""", inspect.getsource(module)
        )
    }
)


class WithPlugins:
    """Adds the filter and weigher to the scheduler of a Nova test."""

    def setUp(self) -> None:
        gpu_conf.register_opts(conf.CONF)
        self.flags(aliases=ALIASES, group=gpu_conf.GROUP.name)
        self.flags(
            available_filters=["nova.scheduler.filters.all_filters", GPU_FILTER],
            weight_classes=["nova.scheduler.weights.all_weighers", GPU_WEIGHER],
            group="filter_scheduler",
        )
        super().setUp()

    def _setup_scheduler_service(self) -> Any:
        enabled = conf.CONF.filter_scheduler.enabled_filters
        # Ours goes before Nova's, which the test appends.
        enabled.append(GPU_FILTER.rpartition(".")[2])
        return super()._setup_scheduler_service()

    def run(self, result: Any = None) -> Any:
        outcome = super().run(result)
        # Nova's tearDown removes all attributes; pytest deletes this one, which it has set.
        setattr(self, self._testMethodName, None)
        return outcome


def _with_plugins(cls: type) -> type:
    return type(f"{cls.__name__}WithPlugins", (WithPlugins, cls), {"__module__": __name__})


for _cls in (
    sriov.PCIServersTest,
    sriov.PCIResourceRequestReschedulingTest,
    sriov.PCIServersWithPreferredNUMATest,
    sriov.PCIServersWithRequiredNUMATest,
    sriov.PCIServersWithSRIOVAffinityPoliciesTest,
    sriov.PCIServersWithPortNUMAPoliciesTest,
    sriov.TestPackNUMACellsWithPCIDevices,
    in_placement.SimpleRCAndTraitBasedPCIAliasTests,
    in_placement.RCAndTraitBasedPCIAliasTests,
):
    globals()[f"{_cls.__name__}WithPlugins"] = _with_plugins(_cls)
del _cls
