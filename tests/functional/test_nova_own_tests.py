# SPDX-License-Identifier: Apache-2.0
"""Nova's own functional tests of PCI devices, with the filter and the weigher in its scheduler.

Every alias of these tests counts as one for GPUs: servers that Nova alone places must be placed in
the same way.
"""

from __future__ import annotations

import inspect
import re
import warnings
from typing import Any

import tests.embedded

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from nova import conf
    from nova.tests.functional.libvirt import test_pci_in_placement as in_placement
    from nova.tests.functional.libvirt import test_pci_sriov_servers as sriov

from nova_gpu_passthrough import conf as gpu_conf
from tests.embedded.cloud import GPU_FILTER, GPU_WEIGHER

CLASSES = {
    sriov: (
        "PCIServersTest",
        "PCIResourceRequestReschedulingTest",
        "PCIServersWithPreferredNUMATest",
        "PCIServersWithRequiredNUMATest",
        "PCIServersWithSRIOVAffinityPoliciesTest",
        "PCIServersWithPortNUMAPoliciesTest",
        "TestPackNUMACellsWithPCIDevices",
    ),
    in_placement: ("SimpleRCAndTraitBasedPCIAliasTests", "RCAndTraitBasedPCIAliasTests"),
}
#: The names of all aliases in the source of the tests, which set them as they run.
ALIASES = sorted(
    {
        name
        for module in CLASSES
        for name in re.findall(
            r"""(?:["']name["']: |ALIAS_NAME = )f?["']([\w-]+)["']""", inspect.getsource(module)
        )
    }
)


class WithPlugins:
    """Adds the filter and the weigher to the scheduler of a Nova test."""

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
        # Before Nova's filters of PCI devices and NUMA, which the test appends.
        enabled = [*conf.CONF.filter_scheduler.enabled_filters, GPU_FILTER.rpartition(".")[2]]
        self.flags(enabled_filters=enabled, group="filter_scheduler")
        return super()._setup_scheduler_service()

    def run(self, result: Any = None) -> Any:
        outcome = super().run(result)
        # Nova's tearDown removes all attributes; pytest deletes this one, which it has set.
        setattr(self, self._testMethodName, None)
        return outcome


for _module, _names in CLASSES.items():
    for _name in _names:
        # Some are newer than the oldest release.
        if _class := getattr(_module, _name, None):
            globals()[f"{_name}WithPlugins"] = type(
                f"{_name}WithPlugins", (WithPlugins, _class), {"__module__": __name__}
            )
del _class


def test_the_newest_release_has_all_classes():
    missing = [
        name for module, names in CLASSES.items() for name in names if name not in vars(module)
    ]
    assert not (tests.embedded.NATIVE_THREADS and missing)
    assert len(ALIASES) > 10
