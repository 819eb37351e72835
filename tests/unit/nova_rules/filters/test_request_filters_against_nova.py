# SPDX-License-Identifier: Apache-2.0
"""Placement returns the hosts that Nova's own request filters allow; aggregates are in SQLite."""

import logging
import uuid
from typing import NamedTuple

import pytest
import sqlalchemy
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from nova import context as nova_context
from nova import exception, objects
from nova.db.api import api as api_database
from nova.db.api import models
from nova.scheduler import request_filter
from oslo_config import cfg
from oslo_config import fixture as config_fixture
from oslo_db.sqlalchemy import enginefacade
from sqlalchemy import orm

from nova_gpu_passthrough.nova_rules.filters import request_filters
from nova_gpu_passthrough.nova_rules.filters.model import FilteredHost, FilteredServer
from nova_gpu_passthrough.nova_rules.host_selection import SchedulerOptions
from tests.unit import builders  # noqa: F401  (registers Nova's objects)

projects = st.sampled_from(["p1", "p2", "p1,p2"])
requirements = st.sampled_from(["required", "required", "forbidden"])
metadata = st.fixed_dictionaries(
    {},
    optional={
        "filter_tenant_id": projects,
        "filter_tenant_id7": projects,
        "availability_zone": st.sampled_from(["west", "east"]),
        "note": projects,
        "trait:CUSTOM_A": requirements,
        "trait:HW_CPU_X86_VMX": requirements,
    },
)
properties = st.fixed_dictionaries(
    {},
    optional={
        "hw_vif_model": st.sampled_from(["virtio", "e1000"]),
        "hw_disk_bus": st.sampled_from(["scsi", "virtio"]),
        "hw_architecture": st.sampled_from(["x86_64", "s390"]),
        "hw_video_model": st.sampled_from(["virtio", "none"]),
    },
)


@pytest.fixture(scope="module")
def database():
    logging.disable(logging.CRITICAL)
    config = config_fixture.Config(cfg.CONF)
    config.setUp()
    own = enginefacade.transaction_context()
    own.configure(connection="sqlite://", sqlite_fk=True)
    engine = own.writer.get_engine()
    models.BASE.metadata.create_all(engine)
    restore = api_database.context_manager.patch_factory(own)
    yield Database(config, engine)
    restore()
    config.cleanUp()
    logging.disable(logging.NOTSET)


class Database(NamedTuple):
    """Nova's options, and its API database."""

    config: config_fixture.Config
    engine: sqlalchemy.Engine

    def store(self, aggregates):
        """Replace the aggregates; return their names by UUID."""
        names = {str(uuid.uuid4()): name for name in aggregates}
        with orm.Session(self.engine) as session, session.begin():
            session.query(models.AggregateMetadata).delete()
            session.query(models.Aggregate).delete()
            for key, name in names.items():
                aggregate = models.Aggregate(uuid=key, name=name)
                session.add(aggregate)
                session.flush()
                session.add_all(
                    models.AggregateMetadata(key=k, value=v, aggregate_id=aggregate.id)
                    for k, v in aggregates[name].items()
                )
        return names


def request_spec(server):
    return objects.RequestSpec(
        flavor=objects.Flavor(
            vcpus=1, memory_mb=1, root_gb=0, ephemeral_gb=0, swap=0, extra_specs={}
        ),
        image=objects.ImageMeta(
            properties=objects.ImageMetaProps.from_dict(server.image_properties or {})
        ),
        project_id=min(server.projects),
        availability_zone=server.zone,
        requested_resources=[],
        pci_requests=None,
        numa_topology=None,
        is_bfv=False,
        num_instances=1,
    )


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    st.lists(metadata, min_size=1, max_size=3),
    st.sets(st.integers(0, 2)),
    st.sampled_from(["p1", "p2"]),
    st.sampled_from([None, "west", "east"]),
    st.sets(st.sampled_from(["CUSTOM_A", "HW_CPU_X86_VMX"])),
    properties,
    st.booleans(),
    st.booleans(),
    st.booleans(),
    st.booleans(),
)
def test_the_same_hosts_are_allowed(
    database, values, members, project, zone, traits, image, limit, required, isolate, prefilter
):
    aggregates = {f"a{number}": one for number, one in enumerate(values)}
    here = {name: one for name, one in aggregates.items() if int(name[1:]) in members}
    host = FilteredHost("host", here)
    server = FilteredServer(
        "f", projects=frozenset((project,)), zone=zone, image_properties=dict(image)
    )
    options = SchedulerOptions(
        limit_tenants_to_placement_aggregate=limit,
        placement_aggregate_required_for_tenants=required,
        enable_isolated_aggregate_filtering=isolate,
        image_metadata_prefilter=prefilter,
    )
    database.config.config(
        group="scheduler",
        **{
            name: value
            for name, value in vars(options).items()
            if options.__dataclass_fields__[name].metadata["section"] == "scheduler"
        },
    )
    context = nova_context.RequestContext("user", project, is_admin=True)
    names = database.store(aggregates)
    spec = request_spec(server)
    spec.flavor.extra_specs = {f"trait:{name}": "required" for name in traits}
    failed = [
        *request_filters.failed_by_project(host, server, aggregates, options),
        *request_filters.failed_by_zone(host, server, aggregates),
        *request_filters.failed_by_isolation(host, traits, options),
    ]
    allowed = not failed
    try:
        for one in (
            request_filter.require_tenant_aggregate,
            request_filter.map_az_to_placement_aggregate,
            request_filter.isolate_aggregates,
            request_filter.transform_image_metadata,
        ):
            one(context, spec)
    except exception.RequestFilterFailed:
        event("no aggregate of the project")
        assert not allowed
        return
    destination = spec.requested_destination if "requested_destination" in spec else None
    groups = (destination.aggregates or []) if destination else []
    forbidden = (destination.forbidden_aggregates or ()) if destination else ()
    expected = all({names[key] for key in group.split(",")} & here.keys() for group in groups)
    expected &= not {names[key] for key in forbidden} & here.keys()
    event(f"allowed: {expected}")
    assert allowed == expected, failed
    assert request_filters.image_traits(server, options) == frozenset(spec.root_required)
