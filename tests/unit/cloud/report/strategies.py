# SPDX-License-Identifier: Apache-2.0
"""Hypothesis strategies for snapshots of arbitrary clouds."""

from hypothesis import strategies as st

from nova_gpu_passthrough.cloud.fit.capacity import CloudCapacity, FlavorCapacity
from nova_gpu_passthrough.cloud.fit.stranded_gpus import StrandedGpu
from nova_gpu_passthrough.cloud.report.snapshot import Snapshot
from nova_gpu_passthrough.cloud.view.model import (
    CloudDevice,
    CloudHost,
    CloudView,
    DeviceState,
    Resource,
)
from nova_gpu_passthrough.cloud.view.owners import Owners
from nova_gpu_passthrough.nova_rules.refusal import Constraint, Refusal, Stage
from tests.unit.cloud.report import fleets

#: Including text that HTML and Prometheus' format must escape, and lone surrogates.
TEXTS = st.one_of(
    st.text(max_size=12),
    st.sampled_from(
        ["</title><script>alert(1)</script>", '" onload="x', "{{ 7 }}", "a\nb", "\ud800"]
    ),
)
_ADDRESSES = st.integers(0, 255).map(lambda number: f"0000:{number:02x}:00.0")
RESOURCES = st.builds(
    Resource,
    total=st.integers(0, 8),
    reserved=st.integers(0, 8),
    used=st.integers(0, 8),
    allocation_ratio=st.sampled_from([1.0, 0.5, 4.0]),
)


@st.composite
def devices(draw, host="h", servers=()):
    consumers = st.lists(st.sampled_from([*servers, "no-server"]), max_size=2, unique=True)
    return CloudDevice(
        host,
        draw(_ADDRESSES),
        "CUSTOM_GPU",
        draw(st.one_of(st.none(), TEXTS)),
        draw(st.sampled_from(DeviceState)),
        draw(st.sampled_from([None, 0, 1, 5])),
        tuple(draw(st.lists(TEXTS, max_size=3))),
        draw(st.one_of(st.none(), TEXTS)),
        resource=draw(RESOURCES),
        consumers=tuple(draw(consumers)),
        note=draw(TEXTS),
    )


@st.composite
def hosts(draw, name):
    servers = [
        fleets.server(number, host=name, name=draw(TEXTS), project=draw(TEXTS))
        for number in range(draw(st.integers(0, 3)))
    ]
    found = draw(
        st.lists(
            devices(name, [server.id for server in servers]),
            max_size=6,
            unique_by=lambda device: device.address,
        )
    )
    cells = [
        fleets.cell(number, draw(st.integers(0, 9)), cores=4, memory_mib=draw(st.integers(0, 9999)))
        for number in range(draw(st.integers(0, 3)))
    ]
    return CloudHost(
        name,
        None,
        draw(st.booleans()),
        draw(st.booleans()),
        draw(TEXTS),
        draw(st.one_of(st.none(), TEXTS)),
        draw(st.one_of(st.none(), TEXTS)),
        resources=draw(
            st.dictionaries(st.sampled_from(["VCPU", "PCPU", "MEMORY_MB", "DISK_GB"]), RESOURCES)
        ),
        numa=tuple(cells),
        devices=tuple(found),
        servers=tuple(servers),
    )


@st.composite
def snapshots(draw):
    names = draw(st.lists(TEXTS, max_size=3, unique=True))
    cloud_view = CloudView(
        fleets.TAKEN_AT,
        tuple(draw(hosts(name)) for name in names),
        servers_without_host=tuple(
            fleets.server(90 + n, host=None) for n in range(draw(st.integers(0, 2)))
        ),
        notes=tuple(draw(st.lists(TEXTS, max_size=2))),
    )
    refusals = st.builds(Refusal, st.sampled_from(Constraint), TEXTS, st.sampled_from(Stage))
    flavors = tuple(
        FlavorCapacity(
            flavor,
            draw(st.integers(1, 8)),
            draw(st.one_of(st.none(), TEXTS)),
            draw(st.integers(0, 1000)),
            {name: draw(st.integers(0, 8)) for name in names},
            {name: draw(refusals) for name in names},
            draw(st.booleans()),
            tuple(draw(st.lists(TEXTS, max_size=1))),
        )
        for flavor in draw(st.lists(TEXTS, max_size=3, unique=True))
    )
    lost = tuple(
        StrandedGpu(
            gpu.host, gpu.address, gpu.model, draw(st.sampled_from(Constraint)), draw(TEXTS)
        )
        for host in cloud_view.hosts
        for gpu in host.gpus
        if draw(st.booleans())
    )
    return Snapshot(
        cloud_view,
        CloudCapacity(cloud_view.taken_at, flavors, lost, tuple(draw(st.lists(TEXTS, max_size=1)))),
        Owners(draw(st.dictionaries(TEXTS, TEXTS, max_size=2))),
        draw(TEXTS),
        draw(TEXTS),
    )
