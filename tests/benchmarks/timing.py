# SPDX-License-Identifier: Apache-2.0
"""Run filters over hosts and measure the time."""

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
    """Return Nova's filters."""
    return [PciPassthroughFilter(), NUMATopologyFilter()]


def with_ours() -> list[filters.BaseHostFilter]:
    """Return this package's filter followed by Nova's."""
    return [GpuPassthroughFilter(), *in_tree()]


def run(
    chain: Sequence[filters.BaseHostFilter], states: Sequence[Any], spec: objects.RequestSpec
) -> list[Any]:
    """Filter hosts as nova-scheduler does."""
    return list(_HANDLER.get_filtered_objects(chain, states, spec) or [])


def seconds(function: Callable[[], object]) -> float:
    """Return the processor time of a call, on which other programs have the least effect.

    Filters and weighers only compute. Garbage of earlier calls is collected first.
    """
    gc.collect()
    start = time.process_time()
    function()
    return time.process_time() - start


def forget_choices() -> None:
    """Clear the cache of device choices, as after a restart of the scheduler."""
    choice._solve.cache_clear()
