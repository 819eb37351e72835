# SPDX-License-Identifier: Apache-2.0
"""Build small host states and request classes, by hand and by hypothesis."""

from hypothesis import strategies as st

from nova_gpu_passthrough.packing.host_state import CellState, GpuGroup, HostState
from nova_gpu_passthrough.packing.request_class import GpuLocality, RequestClass


def gpus(free, model="H100", link=0):
    """Return one group of GPUs, or none."""
    return (GpuGroup(model, link, free),) if free else ()


def cell(free=4, cpus=8, pinned=0, ram=80, link=0, model="H100"):
    return CellState(cpus, pinned, ram, gpus(free, model, link))


def host(*cells, vcpus=1000, ram=1000, disk=0, loose=()):
    return HostState(tuple(cells), vcpus, ram, disk, tuple(loose))


def request_class(count=1, cells=0, gpu_locality=None, **amounts):
    """Return a class of servers; with NUMA cells, GPUs must be on the guest's nodes by default."""
    if gpu_locality is None:
        gpu_locality = GpuLocality.LOCAL if cells else GpuLocality.ANY_NODE
    return RequestClass("a class", count, numa_cells=cells, gpu_locality=gpu_locality, **amounts)


groups = st.lists(
    st.builds(GpuGroup, st.sampled_from("AB"), st.integers(0, 2), st.integers(0, 3)), max_size=2
).map(tuple)
cell_states = st.builds(CellState, st.integers(0, 6), st.integers(0, 4), st.integers(0, 6), groups)


@st.composite
def states(draw, most_cells=3):
    """Draw hosts with few GPUs, some without NUMA cells, small enough to try every placement."""
    cells = draw(st.lists(cell_states, max_size=most_cells).map(tuple))
    loose = draw(groups) if not cells or draw(st.integers(0, 3)) == 0 else ()
    return HostState(
        cells,
        draw(st.integers(0, 12)),
        draw(st.integers(0, 12)),
        draw(st.sampled_from([0, 2, 100])),
        loose,
    )


@st.composite
def classes(draw, least_gpus=0):
    """Draw request classes, some of which fit on such hosts."""
    cells = draw(st.integers(0, 3))
    return RequestClass(
        "a class",
        draw(st.integers(least_gpus, 4)),
        draw(st.sampled_from([None, "A"])),
        draw(st.integers(0, 4)),
        draw(st.integers(0, 3)) if cells else 0,
        draw(st.integers(0, 4)),
        draw(st.integers(0, 1)),
        cells,
        draw(st.sampled_from(GpuLocality)),
        draw(st.booleans()),
    )
