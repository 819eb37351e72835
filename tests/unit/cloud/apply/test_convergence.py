# SPDX-License-Identifier: Apache-2.0
"""Apply reaches the desired state from any initial state, and after any interruption.

It may take a second run. A further run changes nothing, and objects of others stay as they are.
"""

import copy
import dataclasses
import itertools

from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from nova_gpu_passthrough.cloud.apply.record import Origin
from nova_gpu_passthrough.errors import UserError
from nova_gpu_passthrough.fleet import isolation
from nova_gpu_passthrough.fleet.desired_state import (
    Aggregate,
    DesiredState,
    Flavor,
    Limit,
    ProjectName,
)
from tests.unit.cloud.apply.direct import DirectCloud, Killed, away

HOSTS = ("gpu01", "gpu02", "gpu03")
#: Without nova-compute.
ABSENT = "gpu99"
ZONES = (None, "a", "b")
PROJECTS = ("research", "teaching")
CLASSES = ("CUSTOM_GPU_A", "CUSTOM_GPU_B")
ALIASES = {"a": CLASSES[0], "b": CLASSES[1]}
TRAITS = ("CUSTOM_T1", "CUSTOM_T2", "CUSTOM_T3")
RESOURCES = ("servers", *(f"class:{name}" for name in CLASSES))

_texts = st.sampled_from(("1", "2"))
_specs = st.dictionaries(st.sampled_from(("hw:x", "gpu:y", "z")), _texts, max_size=2)


def _subset(items):
    return st.sets(st.sampled_from(items)).map(lambda chosen: tuple(sorted(chosen)))


def _named(names, make):
    """Objects with a subset of names."""
    return st.sets(st.sampled_from(names), max_size=3).flatmap(
        lambda chosen: st.tuples(*(make(name) for name in sorted(chosen)))
    )


_projects = _subset((*PROJECTS, "ghost")).map(lambda names: tuple(map(ProjectName, names)))


def _aggregate(name):
    return st.builds(
        Aggregate,
        st.just(name),
        _subset((*HOSTS, ABSENT)),
        st.dictionaries(st.sampled_from(("k1", "k2")), _texts),
        st.sampled_from(ZONES),
        st.none() | _projects.filter(len),
    )


def _flavor(name):
    specs = _specs.flatmap(
        lambda some: st.sampled_from(({}, {"pci_passthrough:alias": "a:1"})).map(some.__or__)
    )
    sizes, access = st.sampled_from((1, 2)), st.none() | _projects
    return st.builds(Flavor, st.just(name), sizes, st.just(1024), st.just(1), specs, access)


@st.composite
def _limits(draw):
    values = st.integers(-1, 2)
    for resource in sorted(draw(st.sets(st.sampled_from(RESOURCES)))):
        yield Limit(resource, draw(values))
        for project in draw(_subset((*PROJECTS, "ghost"))):
            yield Limit(resource, draw(values), ProjectName(project))


desireds = st.builds(
    DesiredState,
    st.just("paris"),
    _subset(TRAITS),
    _subset(CLASSES),
    _named(("g1", "g2", "g3"), _aggregate),
    _named(("f1", "f2", "f3"), _flavor),
    st.just("unified-limits"),
    _limits().map(tuple),
    _subset(RESOURCES[1:]),
    st.just(ALIASES),
).map(lambda desired: dataclasses.replace(desired, unlimited=_without_limit(desired)))


def _without_limit(desired):
    """Return the unlimited resources without those that have a default limit."""
    limited = {limit.resource for limit in desired.limits if limit.project is None}
    return tuple(name for name in desired.unlimited if name not in limited)


def _has_clash(desired):
    """Check whether two aggregates with different zones have a host in common."""
    for one, other in itertools.combinations(desired.aggregates, 2):
        zones = {one.availability_zone, other.availability_zone} - {None}
        if len(zones) > 1 and set(one.hosts) & set(other.hosts):
            return True
    return False


@st.composite
def clouds(draw):
    """A cloud in which objects were created by hand."""
    cloud = DirectCloud()
    cloud.nova.unified_limits = cloud.keystone.registered_limits
    cloud.add_hosts(*HOSTS)
    cloud.names.traits |= draw(st.sets(st.sampled_from(TRAITS)))
    cloud.names.classes |= draw(st.sets(st.sampled_from(CLASSES)))
    for flavor in draw(_named(("f1", "f2", "other"), _flavor)):
        public = flavor.projects is None
        access = [f"id-{p.name}" for p in flavor.projects or () if p.name != "ghost"]
        made = cloud.nova.add_flavor(flavor.name, flavor.vcpus, public=public, access=access)
        made["extra_specs"] = dict(flavor.extra_specs)
    taken = {}
    for one in draw(_named(("g1", "g2", "other"), _aggregate)):
        zone = one.availability_zone
        hosts = [h for h in one.hosts if h in HOSTS and taken.get(h, zone) in (None, zone)]
        taken |= dict.fromkeys(hosts, zone) if zone else {}
        aggregate_id = 100 + len(cloud.nova.aggregates)
        cloud.nova.aggregates[str(aggregate_id)] = {
            "id": aggregate_id,
            "uuid": f"uuid-{aggregate_id}",
            "name": one.name,
            "availability_zone": zone,
            "hosts": hosts,
            "metadata": {
                **one.metadata,
                **({"availability_zone": zone} if zone else {}),
                **{
                    f"filter_tenant_id{n}": f"id-{p.name}" for n, p in enumerate(one.projects or ())
                },
            },
        }
    in_both = [(one["uuid"], host) for one in cloud.nova.aggregates.values() for host in HOSTS]
    cloud.names.lost |= draw(st.sets(st.sampled_from(in_both))) if in_both else set()
    place = {"service_id": "id-compute", "region_id": "RegionOne"}
    for limit in draw(_limits()):
        if limit.project and limit.project.name == "ghost":
            continue
        kind = "limits" if limit.project else "registered_limits"
        made = {"id": f"x{len(cloud.keystone.limits)}{limit.resource}", **place}
        made["resource_name"] = limit.resource
        if limit.project:
            made |= {"project_id": f"id-{limit.project.name}", "resource_limit": limit.value}
        else:
            made |= {"default_limit": limit.value}
        getattr(cloud.keystone, kind)[made["id"]] = made
    return cloud


def _state(cloud):
    """Return all that apply may change as plain data, by kind and name."""
    nova, keystone = cloud.nova, cloud.keystone
    state = {("trait", name): True for name in cloud.names.traits}
    state |= {("class", name): True for name in cloud.names.classes}
    for one in nova.aggregates.values():
        name = one["name"]
        state["aggregate", name] = True
        state |= {("host", name, host): True for host in one["hosts"]}
        for key, value in one["metadata"].items():
            if not isolation.is_tenant_key(key):
                state["metadata", name, key] = value
        state["tenants", name] = isolation.project_ids(one["metadata"])
    for one in nova.flavors.values():
        public = one["os-flavor-access:is_public"]
        access = None if public else frozenset(one["access"])
        sizes = one["vcpus"], one["ram"], one["disk"]
        state["flavor", one["name"]] = sizes, dict(one["extra_specs"]), access
    for one in keystone.registered_limits.values():
        state["registered", one["resource_name"]] = one["default_limit"]
    for one in keystone.limits.values():
        state["limit", one["resource_name"], one["project_id"]] = one["resource_limit"]
    return state


def _expected(desired):
    """Return the desired state in the form of `_state`, without absent hosts and projects."""
    state = {("trait", name): True for name in desired.traits}
    state |= {("class", name): True for name in desired.resource_classes}
    for one in desired.aggregates:
        state["aggregate", one.name] = True
        state |= {("host", one.name, host): True for host in one.hosts if host in HOSTS}
        state |= {("metadata", one.name, key): value for key, value in one.metadata.items()}
        if one.availability_zone:
            state["metadata", one.name, "availability_zone"] = one.availability_zone
        if one.projects:
            state["tenants", one.name] = {f"id-{p.name}" for p in one.projects} - {"id-ghost"}
    for one in desired.flavors:
        access = None
        if one.projects is not None:
            access = frozenset(f"id-{p.name}" for p in one.projects if p.name in PROJECTS)
        sizes = one.vcpus, one.ram_mib, one.disk_gib
        state["flavor", one.name] = sizes, dict(one.extra_specs), access
    for one in desired.limits:
        if one.project is None:
            state["registered", one.resource] = one.value
        elif one.project.name in PROJECTS:
            state["limit", one.resource, f"id-{one.project.name}"] = one.value
    return state


def _not_in_placement(cloud, desired):
    """Return the hosts of desired aggregates that Placement's aggregates lack."""
    desired_hosts = {one.name: one.hosts for one in desired.aggregates}
    return [
        (one["name"], host)
        for one in cloud.nova.aggregates.values()
        for host in one["hosts"]
        if host in desired_hosts.get(one["name"], ()) and (one["uuid"], host) in cloud.names.lost
    ]


def _interrupt(cloud, nth, how):
    """Make the nth changing request from now on fail."""
    moment = cloud.changing + nth

    def fail(now, what):
        if now == moment:
            if how.startswith("killed"):
                raise Killed(what)
            raise away()

    cloud.before = cloud.after = lambda now, what: None
    setattr(cloud, "before" if how.endswith("before") else "after", fail)


#: Which requests fail, and how: status 503 is retried, a kill ends the run.
interruptions = st.lists(
    st.tuples(
        st.integers(1, 25),
        st.sampled_from(("killed before", "killed after", "away before", "away after")),
    ),
    max_size=3,
)


def _apply(cloud, desired, failures, **options):
    """Run with failures until a run completes, then check that a further run changes nothing."""
    for nth, how in failures:
        _interrupt(cloud, nth, how)
        try:
            assert cloud.apply(desired, **options) == []
        except (Killed, UserError):
            continue
    _interrupt(cloud, 0, "killed before")
    assert cloud.apply(desired, **options) == []
    before = copy.deepcopy(_state(cloud)), cloud.record, cloud.changing
    plan = cloud.plan(desired, **options)
    assert plan.changes == (), plan.diff()
    assert cloud.apply(desired, **options) == []
    assert (_state(cloud), cloud.record, cloud.changing) == before
    return plan


def _skipped(plan):
    return {(str(change.kind), change.name) for change in plan.skipped}


@settings(max_examples=25, deadline=None, phases=(Phase.generate,))
@given(clouds(), desireds.filter(lambda d: not _has_clash(d)), interruptions)
def test_the_cloud_reaches_the_desired_state(cloud, desired, failures):
    before = _state(cloud)
    plan = _apply(cloud, desired, failures)
    state, expected = _state(cloud), _expected(desired)
    assert _not_in_placement(cloud, desired) == []
    skipped = _skipped(plan)
    for name in desired.unlimited:
        assert ("registered", name) in state
    for key, value in expected.items():
        excused = (
            (key[0] in ("host", "metadata") and ("aggregate", key[1]) in skipped)
            or (key[0] == "registered" and ("registered limit", key[1]) in skipped)
            or (key[0] == "limit" and any(kind == "project limit" for kind, _ in skipped))
        )
        assert excused or state.get(key) == value, key
    for key, value in before.items():
        # Other objects are unchanged.
        assert key in expected or state.get(key) == value, key


@settings(max_examples=25, deadline=None, phases=(Phase.generate,))
@given(
    clouds(),
    desireds.filter(lambda d: not _has_clash(d)),
    desireds.filter(lambda d: not _has_clash(d)),
    interruptions,
    interruptions,
)
def test_apply_deletes_only_what_it_created(cloud, first, second, failures, more):
    before = set(_state(cloud))
    _apply(cloud, first, failures)
    _apply(cloud, second, more)
    assert not any(entry.origin is Origin.PENDING for entry in cloud.record.entries)
    _apply(cloud, DesiredState("paris", aliases=ALIASES), [])
    left = set(_state(cloud))
    assert before <= left
    # Nova cannot remove the zone of an aggregate.
    assert {key for key in left - before if key[-1] != "availability_zone"} == set()


@settings(max_examples=25, deadline=None, phases=(Phase.generate,))
@given(clouds(), desireds.filter(lambda d: not _has_clash(d)), interruptions)
def test_pruning_leaves_only_what_the_fleet_file_names(cloud, desired, failures):
    skipped = _skipped(_apply(cloud, desired, failures, prune=True))
    state, expected = _state(cloud), _expected(desired)
    for key, value in state.items():
        if key in expected:
            continue
        if key[0] == "flavor":
            assert value[1].get("pci_passthrough:alias") is None
        elif key[0] == "host":
            assert ("aggregate", key[1]) not in expected or ("aggregate", key[1]) in skipped
        elif key[0] == "limit" and desired.limits:
            assert key[1].removeprefix("class:") not in CLASSES


@settings(max_examples=25, deadline=None, phases=(Phase.generate,))
@given(clouds(), desireds, desireds, interruptions, st.sets(st.sampled_from(HOSTS)), st.booleans())
def test_servers_keep_their_flavors_and_zones(cloud, first, second, failures, hosts, anyway):
    """This holds even if the fleet file contradicts itself."""
    _apply(cloud, first, [])
    flavors = sorted(cloud.nova.flavors.values(), key=lambda one: one["name"])
    busy = dict(zip(sorted(hosts), flavors, strict=False))
    for host, flavor in busy.items():
        cloud.nova.add_server(f"on-{host}", host, flavor)
    before, zones = _state(cloud), _zones(cloud)
    # A zone that hosts with servers blocked can change once they have left it.
    cloud.apply(second, change_used=anyway)
    _apply(cloud, second, failures, change_used=anyway)
    after = _state(cloud)
    for host, flavor in busy.items():
        assert _zones(cloud)[host] == zones[host]
        key = "flavor", flavor["name"]
        assert anyway or after[key][:2] == before[key][:2]


def _zones(cloud):
    """Return the zones of each host."""
    return {
        host: {
            one["availability_zone"]
            for one in cloud.nova.aggregates.values()
            if host in one["hosts"] and one["availability_zone"]
        }
        for host in HOSTS
    }


@settings(max_examples=20, deadline=None, phases=(Phase.generate,))
@given(
    st.dictionaries(st.sampled_from(PROJECTS), st.integers(0, 3)),
    st.lists(st.dictionaries(st.sampled_from((None, *PROJECTS)), st.integers(0, 3)), min_size=1),
    interruptions,
)
def test_quotas_of_nova_reach_the_desired_state(before, states, failures):
    cloud = DirectCloud()
    for project, value in before.items():
        cloud.nova.quotas[f"id-{project}"] = {"cores": value}
    for values in states:
        limits = tuple(
            Limit("cores", value, ProjectName(project) if project else None)
            for project, value in sorted(values.items(), key=str)
        )
        _apply(cloud, DesiredState("paris", limits=limits, quota_driver="nova"), failures)
        for project, value in values.items():
            shown = cloud.nova.default_quotas | cloud.nova.quotas.get(f"id-{project}", {})
            assert shown["cores"] == value
