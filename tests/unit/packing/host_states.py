# SPDX-License-Identifier: Apache-2.0
"""Small host states and request classes, by hand and by hypothesis."""

from hypothesis import strategies as st

from nova_gpu_passthrough.packing.host_state import CellState, GpuGroup, HostState
from nova_gpu_passthrough.packing.request_class import Reach, RequestClass


def gpus(free, model="H100", link=0):
    """One group, or none."""
    return (GpuGroup(model, link, free),) if free else ()


def cell(free=4, cpus=8, pinned=0, ram=80, link=0, model="H100"):
    return CellState(cpus, pinned, ram, gpus(free, model, link))


def host(*cells, vcpus=1000, ram=1000, disk=0, loose=()):
    return HostState(tuple(cells), vcpus, ram, disk, tuple(loose))


def wanted(count=1, cells=0, reach=None, **needs):
    """A class of servers; with NUMA cells, GPUs must be near."""
    if reach is None:
        reach = Reach.NEAR if cells else Reach.ANYWHERE
    return RequestClass("a class", count, numa_cells=cells, reach=reach, **needs)


groups = st.lists(
    st.builds(GpuGroup, st.sampled_from("AB"), st.integers(0, 2), st.integers(0, 3)), max_size=2
).map(tuple)
cell_states = st.builds(CellState, st.integers(0, 6), st.integers(0, 4), st.integers(0, 6), groups)


@st.composite
def states(draw, most_cells=3):
    """Hosts with few GPUs, on which all ways can be tried; some are without NUMA cells."""
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
    """Classes that fit on such hosts now and then."""
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
        draw(st.sampled_from(Reach)),
        draw(st.booleans()),
    )
