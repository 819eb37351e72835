# SPDX-License-Identifier: Apache-2.0
"""Hosts of a fleet file's group with projects: Nova's scheduler gives them only to these."""

from __future__ import annotations

import dataclasses
import unittest.mock
from collections.abc import Sequence

from nova.tests.functional.api.client import OpenStackApiException

from nova_gpu_passthrough.cloud.apply import aggregate_projects
from nova_gpu_passthrough.cloud.apply.projects import UnknownProject
from nova_gpu_passthrough.fleet import derive_state
from nova_gpu_passthrough.fleet.desired_state import Aggregate, ProjectName
from nova_gpu_passthrough.generate import control_options
from tests.embedded.cloud import CloudError, Server
from tests.embedded.fleet import hgx_host
from tests.functional.base import GpuCloudTest
from tests.unit.generate import builders
from tests.unit.generate.fleets import resolved

OWNER, INTRUDER = f"{1:032x}", f"{2:032x}"
#: More ids than one value of metadata holds (255 characters).
OWNERS = tuple(f"{number:032x}" for number in range(10, 30))


class IsolationTest(GpuCloudTest):
    """A host of a group with projects, and one for everyone."""

    def start(self, *owners: str, hosts: Sequence[str] = ("own1", "all1"), **options: bool) -> None:
        """Start a cloud with hosts, and the generated filters, aggregates and metadata."""
        fleet = resolved(
            groups={"own": [builders.hgx("own1")], "all": [builders.hgx("all1")]},
            owners={"own": owners or ("deleted",)},
        )
        self.start_cloud(
            [hgx_host(name) for name in hosts],
            enabled_filters=control_options.filters(fleet.settings.enabled_filters),
            config={("scheduler", name): value for name, value in options.items()},
        )
        aggregates, _ = derive_state.make(fleet)
        for aggregate in aggregates.aggregates:
            members = set(aggregate.hosts) & set(hosts)
            self.cloud.create_aggregate(aggregate.name, members, self.metadata(aggregate, owners))
        self.flavor = self.cloud.create_flavor("h100-1", 2, 1024, gpus={"h100": 1})

    def metadata(self, aggregate: Aggregate, owners: Sequence[str]) -> dict[str, str]:
        """Return the metadata that apply sets; Keystone knows the owners by their ids."""
        projects = unittest.mock.Mock()
        projects.id.side_effect = self.find
        self.owners = owners
        # The embedded hosts have other sizes than the inventories.
        bare = dataclasses.replace(aggregate, metadata={})
        return dict(aggregate_projects.resolve(bare, {}, projects, lambda reason: None).metadata)

    def find(self, project: ProjectName) -> str:
        if project.name not in self.owners:
            raise UnknownProject
        return project.name

    def boot(self, project: str) -> Server:
        with self.cloud.as_project(project):
            (server,) = self.cloud.boot(self.flavor)
        return server

    def host_of_new(self, project: str) -> str | None:
        return self.cloud.host_of(self.boot(project))

    def assert_no_host(self, project: str) -> None:
        with self.assertRaisesRegex(CloudError, "No valid host was found"):
            self.boot(project)

    def test_an_intruder_gets_no_host_and_the_owner_does(self) -> None:
        self.start(OWNER, hosts=("own1",))
        self.assert_no_host(INTRUDER)
        self.assertEqual("own1", self.host_of_new(OWNER))

    def test_other_projects_get_other_hosts_until_they_are_full(self) -> None:
        self.start(OWNER)
        self.assertEqual({"all1"}, {self.host_of_new(INTRUDER) for _ in range(8)})
        self.assert_no_host(INTRUDER)
        self.assertEqual("own1", self.host_of_new(OWNER))

    def test_an_intruder_gets_no_host_by_a_move(self) -> None:
        self.start(OWNER)
        server = self.boot(INTRUDER)
        # Nova's API fails while it runs in one process with its conductor.
        with self.assertRaisesRegex(OpenStackApiException, "NoValidHost"):
            self.cloud.migrate(server)
        self.assertEqual("all1", self.cloud.host_of(server))

    def test_many_projects_may_use_a_host(self) -> None:
        self.start(*OWNERS, hosts=("own1",))
        self.assertEqual({"own1"}, {self.host_of_new(one) for one in (OWNERS[0], OWNERS[-1])})
        self.assert_no_host(INTRUDER)

    def test_nobody_gets_a_host_of_projects_that_do_not_exist(self) -> None:
        self.start(hosts=("own1",))
        self.assert_no_host(INTRUDER)

    def test_novas_request_filter_reads_the_same_metadata(self) -> None:
        """With it, the owner's servers stay on these hosts; the filter keeps others away."""
        self.start(OWNER, limit_tenants_to_placement_aggregate=True)
        self.assertEqual({"own1"}, {self.host_of_new(OWNER) for _ in range(8)})
        self.assert_no_host(OWNER)
        self.assertEqual("all1", self.host_of_new(INTRUDER))
