# SPDX-License-Identifier: Apache-2.0
"""Each restated filter passes exactly the hosts that Nova's own filter passes."""

import json
import logging
import uuid

import pytest
from hypothesis import HealthCheck, assume, event, given, settings
from hypothesis import strategies as st
from nova import objects
from nova.scheduler import filters as nova_filters
from nova.scheduler.filters import extra_specs_ops
from nova.scheduler.host_manager import HostState
from oslo_config import cfg
from oslo_config import fixture as config_fixture

from nova_gpu_passthrough.nova_rules.filters import FILTERS, OTHERS, extra_spec_operators
from nova_gpu_passthrough.nova_rules.filters.model import (
    FilteredHost,
    FilteredServer,
    NotJudgedError,
    ServerGroup,
)
from nova_gpu_passthrough.nova_rules.host_selection import SchedulerOptions
from nova_gpu_passthrough.nova_rules.refusal import Stage

objects.register_all()
NOVA = {found.__name__: found for found in nova_filters.all_filters()}
IDS = [str(uuid.UUID(int=number)) for number in range(1, 7)]
PROJECTS = ["p1", "p2", "p3"]

requirements = st.sampled_from(
    [
        *("5", "= 5", ">= 5", "<= 5", "== 5", "!= 5", "s== a", "s!= a", "s< b", "s> a", "s>= b"),
        *("<in> a", "<all-in> a b", "<or> a <or> 5", "<or> b", "a", "a b", "", "= x", "<or>", ">="),
    ]
)
values = st.sampled_from(["5", "4.5", "7", "a", "b", "a,b", "ab", "a, 5", "", " "])
metadata = st.dictionaries(
    st.sampled_from(
        [
            *("filter_tenant_id", "filter_tenant_id2", "instance_type", "ssd", "colour"),
            *("max_instances_per_host", "max_io_ops_per_host", "hw_vif_model", "os_distro"),
            *("trait:X", "hw_cpu_sockets"),
        ]
    ),
    values | st.sampled_from(["p1", "p1,p2", "p3", "f1", "f1, f2", "2", "3", "virtio", "e1000,2"]),
    max_size=5,
)
extra_specs = st.dictionaries(
    st.sampled_from(
        [
            *("ssd", "colour", "hw:cpu_policy", "aggregate_instance_extra_specs:ssd", "gpu:link"),
            *("aggregate_instance_extra_specs:colour", "aggregate_instance_extra_specs:a:b"),
            *("capabilities:hypervisor_type", "capabilities:hypervisor_version", "host"),
            *("capabilities:cpu_info:arch", "capabilities:cpu_info:maxphysaddr:bits"),
            *("capabilities:cpu_info:vendor:x", "hw:maxphysaddr_bits", "hypervisor_type"),
            *("capabilities:stats:x", "free_ram_mb", "unknown"),
        ]
    ),
    requirements | st.sampled_from(["QEMU", ">= 7000000", "x86_64", "46", "host1"]),
    max_size=3,
)
properties = st.dictionaries(
    st.sampled_from(["hw_vif_model", "os_distro", "hw_cpu_sockets"]), st.just(None), max_size=2
).flatmap(
    lambda keys: st.fixed_dictionaries(
        {
            key: st.sampled_from(
                {
                    "hw_vif_model": ["virtio", "e1000"],
                    "os_distro": ["a", "b"],
                    "hw_cpu_sockets": [2, 5],
                }[key]
            )
            for key in keys
        }
    )
)
supported = st.sampled_from(
    [
        (),
        (("x86_64", "kvm", "hvm"),),
        (("i686", "qemu", "hvm"), ("x86_64", "kvm", "hvm"), ("aarch64", "qemu", "hvm")),
    ]
)
image_requirements = st.fixed_dictionaries(
    {},
    optional={
        "hw_architecture": st.sampled_from(["x86_64", "aarch64", "i686"]),
        "img_hv_type": st.sampled_from(["kvm", "qemu", "xen"]),
        "hw_vm_mode": st.sampled_from(["hvm", "xen"]),
        "img_hv_requested_version": st.sampled_from([">=7.0", "<7", ">=6.0,<7.3", "!=7.2.0"]),
        "hw_maxphysaddr_bits": st.sampled_from([40, 46]),
    },
)


@st.composite
def hosts(draw):
    here = draw(st.sets(st.sampled_from(IDS[:5])))
    cpu_info = draw(
        st.sampled_from(
            [{"arch": "x86_64"}, {"arch": "aarch64", "vendor": "x", "maxphysaddr": {"bits": 46}}]
        )
    )
    return FilteredHost(
        draw(st.sampled_from(["host1", "host2"])),
        {f"a{number}": one for number, one in enumerate(draw(st.lists(metadata, max_size=3)))},
        frozenset(here),
        draw(st.integers(0, 4)),
        {
            "host": "host1",
            "nodename": "node1",
            "host_ip": "10.0.0.1",
            "hypervisor_type": "QEMU",
            "hypervisor_version": draw(st.sampled_from([7002000, 6002001])),
            "hypervisor_hostname": "node1",
            "cpu_info": json.dumps(cpu_info),
        },
        draw(supported),
    )


@st.composite
def servers(draw):
    group = None
    if draw(st.booleans()):
        group = ServerGroup(
            draw(st.sampled_from(["affinity", "anti-affinity", "soft-affinity"])),
            frozenset(draw(st.sets(st.sampled_from(IDS)))),
            frozenset(draw(st.sets(st.sampled_from(["host1", "host3"])))),
            draw(st.integers(1, 2)),
        )
    ids = st.sampled_from(IDS) | st.lists(st.sampled_from(IDS), min_size=1, max_size=2)
    hints = draw(
        st.fixed_dictionaries(
            {},
            optional={
                "same_host": ids,
                "different_host": ids,
                "build_near_host_ip": st.sampled_from(["10.0.0.9", ["10.0.1.9"]]),
                "cidr": st.sampled_from(["/24", ["/16"], "/28"]),
            },
        )
    )
    return FilteredServer(
        draw(st.sampled_from(["f1", "f2", "5"])),
        draw(extra_specs),
        frozenset((draw(st.sampled_from(PROJECTS)),)),
        draw(st.sampled_from([*IDS, None])),
        draw(st.sampled_from([*IDS[:2], None])),
        {**draw(properties), **draw(image_requirements)},
        None,
        group,
        hints,
    )


@st.composite
def options(draw):
    return SchedulerOptions(
        draw(st.sampled_from([(), (IDS[0],)])),
        draw(st.sampled_from([(), ("host1",)])),
        draw(st.booleans()),
        draw(st.integers(1, 4)),
        draw(st.integers(1, 4)),
        draw(st.sampled_from([None, "x86_64", "i686", "aarch64"])),
        draw(st.sampled_from([None, "hw", "os"])),
        draw(st.sampled_from([".", "_"])),
    )


def host_state(host):
    state = HostState(host.name, "node1", None)
    for name, value in host.attributes.items():
        setattr(state, name, value)
    state.host = host.name
    state.aggregates = [
        objects.Aggregate(name=name, metadata=dict(one)) for name, one in host.aggregates.items()
    ]
    state.instances = dict.fromkeys(host.servers)
    state.num_instances = len(host.servers)
    state.num_io_ops = host.io_operations
    state.supported_instances = [list(one) for one in host.supported_instances]
    state.stats = {}
    state.metrics = []
    return state


def request_spec(server):
    group = server.group
    image = objects.ImageMeta(properties=objects.ImageMetaProps.from_dict(server.image_properties))
    if server.image_id is not None:
        image.id = server.image_id
    (project,) = server.projects
    return objects.RequestSpec(
        flavor=objects.Flavor(name=server.flavor, extra_specs=dict(server.extra_specs)),
        project_id=project,
        instance_uuid=server.id or str(uuid.UUID(int=99)),
        image=image,
        instance_group=None
        if group is None
        else objects.InstanceGroup(
            policy=group.policy,
            policies=[group.policy],
            members=sorted(group.members),
            hosts=sorted(group.hosts),
            _rules={"max_server_per_host": str(group.max_servers_per_host)}
            if group.policy == "anti-affinity"
            else {},
        ),
        scheduler_hints={
            name: value if isinstance(value, list) else [value]
            for name, value in server.hints.items()
        },
    )


def passes(stage, host, server):
    """Ask Nova's filter; an error of it fails the whole request."""
    nova_filter, state, spec = NOVA[stage.value](), host_state(host), request_spec(server)
    try:
        return bool(nova_filter.host_passes(state, spec))
    except (AttributeError, IndexError, ValueError) as error:
        event(f"{stage} raises {type(error).__name__}")
        return False


@pytest.fixture
def quiet():
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize("stage", FILTERS, ids=str)
@settings(
    max_examples=200,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(host=hosts(), server=servers(), chosen=options())
def test_the_same_hosts_pass(quiet, stage, host, server, chosen):
    try:
        failed = FILTERS[stage](host, server, chosen)
    except NotJudgedError as error:
        event(f"not judged: {error}")
        return
    fixture = config_fixture.Config(cfg.CONF)
    fixture.setUp()
    try:
        for name, value in vars(chosen).items():
            section = SchedulerOptions.__dataclass_fields__[name].metadata["section"]
            fixture.config(
                group=section, **{name: list(value) if isinstance(value, tuple) else value}
            )
        passed = passes(stage, host, server)
    finally:
        fixture.cleanUp()
    event(f"{'passes' if passed else 'refuses'}")
    assert (failed is None) == passed, failed
    if failed:
        assert failed.detail


@given(values, requirements)
def test_requirements_match_the_same_values(value, requirement):
    try:
        matches = extra_specs_ops.match(value, requirement)
    except (IndexError, ValueError):
        assume(requirement)
        matches = False
    assert extra_spec_operators.matches(value, requirement) == bool(matches)


def test_every_filter_of_nova_is_restated_or_judged_elsewhere():
    assert set(NOVA) <= {stage.value for stage in FILTERS} | OTHERS
    assert {stage.value for stage in FILTERS} <= set(NOVA)
    assert not {stage.value for stage in FILTERS} & OTHERS


def test_options_have_the_defaults_of_nova():
    for name, one in SchedulerOptions.__dataclass_fields__.items():
        known = cfg.CONF[one.metadata["section"]]._group._opts[name]["opt"].default
        default = list(one.default) if isinstance(one.default, tuple) else one.default
        assert known == default, name


def test_a_filter_is_named_as_in_nova():
    assert {stage.value for stage in FILTERS} < {stage.value for stage in Stage}
