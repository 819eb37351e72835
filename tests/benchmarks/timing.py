# SPDX-License-Identifier: Apache-2.0
"""Runs filters over hosts and measures the time."""

import gc
import time
from collections.abc import Callable, Sequence
from typing import Any

from nova import objects
from nova.scheduler import filters
from nova.scheduler.filters.numa_topology_filter import NUMATopologyFilter
from nova.scheduler.filters.pci_passthrough_filter import PciPassthroughFilter

from nova_gpu_passthrough.scheduler.filters import GpuPassthroughFilter
from nova_gpu_passthrough.topology import choice

_HANDLER = filters.HostFilterHandler()


def in_tree() -> list[filters.BaseHostFilter]:
    """Nova's filters."""
    return [PciPassthroughFilter(), NUMATopologyFilter()]


def with_ours() -> list[filters.BaseHostFilter]:
    """Our filter in front of Nova's."""
    return [GpuPassthroughFilter(), *in_tree()]


def run(
    chain: Sequence[filters.BaseHostFilter], states: Sequence[Any], spec: objects.RequestSpec
) -> list[Any]:
    """Filter hosts as nova-scheduler does."""
    return list(_HANDLER.get_filtered_objects(chain, states, spec) or [])


def seconds(function: Callable[[], object]) -> float:
    """The processor time of a call, which other programs on the machine disturb least.

    Filters and weighers only compute. As little garbage as possible is left from before.
    """
    gc.collect()
    start = time.process_time()
    function()
    return time.process_time() - start


def forget_choices() -> None:
    """Empty the memory of device choices, as after a restart of the scheduler."""
    choice._solve.cache_clear()
