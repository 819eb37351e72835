# SPDX-License-Identifier: Apache-2.0
"""Hypothesis strategies for hosts of all shapes, and for malformed data."""

from hypothesis import strategies as st

from nova_gpu_passthrough.topology.model import Preference
from tests.unit import builders

LINKS = ("", "x", "x/h0", "x/h0/q0", "x/h0/q1", "x/h1", "x/h1/q2", "y", "y/h2", "z")
PREFERENCES = st.sampled_from(Preference)

#: Any JSON value.
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["10de", "2330", "0000:01:00.0", "H100-SXM", "type-PCI", "a//b", ""]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner),
    max_leaves=8,
)


@st.composite
def gpu_lists(draw, least=1, most=8):
    """Draw the free GPUs of a host in any order, some without NUMA node, switch or link group."""
    count = draw(st.integers(least, most))
    nodes = draw(st.sampled_from([(0,), (0, 1), (None, 0, 1), (0, 1, 2, 3), (None,)]))
    switches = draw(st.sampled_from([(None,), ("a", "b"), (None, "a", "b", "c", "d")]))
    links = draw(st.lists(st.sampled_from(LINKS), min_size=1, max_size=5, unique=True))
    gpus = [
        builders.gpu(
            number,
            node=draw(st.sampled_from(nodes)),
            link=draw(st.sampled_from(links)),
            switch=draw(st.sampled_from(switches)),
        )
        for number in range(count)
    ]
    return draw(st.permutations(gpus))


def broken_pools():
    """Return lists of pools: some well-formed, some with one error, some not pools at all."""
    keys = [
        "vendor_id",
        "product_id",
        "numa_node",
        "count",
        "address",
        "rp_uuid",
        "dev_type",
        "gpu_model",
        "gpu_link_group",
        "gpu_switch",
        "gpu_card",
        "gpu_modle",
        "remote_managed",
    ]
    good = st.builds(builders.pool, st.integers(0, 255), node=st.sampled_from([None, -1, 0, 1]))
    broken = st.builds(
        lambda pool, key, value: {**pool, key: value}, good, st.sampled_from(keys), json_values
    )
    short = st.builds(
        lambda pool, key: {k: v for k, v in pool.items() if k != key}, good, st.sampled_from(keys)
    )
    odd_key = st.builds(lambda pool, key: {**pool, key: 1}, good, st.integers() | st.none())
    return st.lists(good | broken | short | odd_key | json_values, max_size=4) | json_values


def broken_candidates(groups, providers):
    """Return candidates for groups: some well-formed, some with an error, some not candidates."""
    some = st.lists(st.sampled_from(providers), min_size=len(groups), max_size=len(groups))
    others = {"root": {"VCPU": 1}}
    good = st.builds(
        lambda chosen: builders.candidate(
            dict(zip(groups, chosen, strict=True)), others, {"": ["root"]}
        ),
        some,
    )

    def with_allocation(candidate, provider, value):
        return {**candidate, "allocations": {**candidate["allocations"], provider: value}}

    def with_resources(candidate, provider, value):
        return with_allocation(candidate, provider, {"resources": value})

    def with_mapping(candidate, group, value):
        return {**candidate, "mappings": {**candidate["mappings"], group: value}}

    keys = st.sampled_from([*providers, "root"])
    broken = (
        st.builds(with_allocation, good, keys, json_values)
        | st.builds(with_resources, good, keys, json_values)
        | st.builds(
            with_resources,
            good,
            keys,
            st.dictionaries(st.text(max_size=4), json_values, max_size=2),
        )
        | st.builds(with_mapping, good, st.sampled_from([*groups, ""]), json_values)
        | st.builds(with_mapping, good, st.sampled_from(groups), st.lists(json_values, max_size=2))
        | st.builds(lambda candidate, value: {**candidate, "allocations": value}, good, json_values)
        | st.builds(lambda candidate, value: {**candidate, "mappings": value}, good, json_values)
    )
    return st.lists(good | broken | json_values, min_size=1, max_size=4)
