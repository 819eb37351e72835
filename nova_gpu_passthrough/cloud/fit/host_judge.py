# SPDX-License-Identifier: Apache-2.0
"""Judge for one server which hosts take it, in the order in which Nova calls its components.

The service comes first, then Placement, the filters that the fleet enables, and the claim.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from nova_gpu_passthrough.cloud.fit import filter_facts, free_capacity, gpu_flavors
from nova_gpu_passthrough.cloud.view.model import CloudHost
from nova_gpu_passthrough.fleet import isolation
from nova_gpu_passthrough.fleet.demand import FlavorDemand
from nova_gpu_passthrough.generate import control_options
from nova_gpu_passthrough.nova_rules import filters, placement_extra_specs
from nova_gpu_passthrough.nova_rules.filters import request_filters, server_filters
from nova_gpu_passthrough.nova_rules.filters.model import (
    FilteredHost,
    FilteredServer,
    NotJudgedError,
)
from nova_gpu_passthrough.nova_rules.host_capacity import HostCapacity
from nova_gpu_passthrough.nova_rules.refusal import Constraint, FailedConstraint, Refusal, Stage
from nova_gpu_passthrough.nova_rules.server_fit import ServerFit, fit_server

if TYPE_CHECKING:
    from nova_gpu_passthrough.fleet.resolve import ResolvedFleet


class HostJudge:
    """Judges hosts for one server, or for the servers of one flavor."""

    def __init__(
        self,
        resolved: "ResolvedFleet",
        aggregates: Mapping[str, Mapping[str, str]],
        flavor_demand: FlavorDemand,
        server: FilteredServer,
        refusal: Refusal | None = None,
        project_names: Mapping[str, str] | None = None,
    ) -> None:
        """Prepare for a server.

        :param aggregates: metadata of all aggregates of the cloud by name
        :param refusal: why nova-api refuses the server, whatever the hosts have free
        :param project_names: names of projects by id, as far as they are known
        """
        self._project_names = project_names or {}
        self._refusal = refusal
        self._aggregates = aggregates
        self._demand = flavor_demand
        self._server = server
        self._options = resolved.settings.scheduler_options
        self._filters = enabled_filters(resolved)
        self._fits: dict[HostCapacity, ServerFit | Refusal] = {}
        self._required = frozenset(
            (
                *flavor_demand.server_demand.query.required,
                *(
                    trait
                    for _, device_class in flavor_demand.server_demand.device_classes
                    for trait in device_class.required
                ),
                *(
                    trait.name
                    for trait in placement_extra_specs.traits(server.extra_specs)
                    if trait.value == "required"
                ),
            )
        )
        #: What is not judged, one sentence each without the subject.
        self.notes: dict[str, None] = {}

    def judge(self, host: CloudHost, free: HostCapacity) -> ServerFit | Refusal:
        """Fit one more server on a host, or return what refuses it first.

        :param free: what the host has free
        """
        refusal = self._refusal or free_capacity.service_refusal(host)
        if refusal:
            return refusal
        facts = filter_facts.of_host(host)
        fitted = self._fit(free)
        failed = list(self._failed_in_placement(facts, host))
        if isinstance(fitted, Refusal) and fitted.stage is Stage.PLACEMENT:
            return fitted.with_others(failed)
        return (
            Refusal.of(failed, Stage.PLACEMENT)
            or self._refusal_by_filters(facts, self._position(fitted))
            or fitted
        )

    def refusal_whatever_is_free(self, host: CloudHost) -> Refusal | None:
        """Return why the host takes no such server even if it is empty; None if it may."""
        refusal = self._refusal or free_capacity.service_refusal(host)
        if refusal:
            return refusal
        facts = filter_facts.of_host(host)
        failed = list(self._failed_in_placement(facts, host))
        invalid = gpu_flavors.extra_spec_refusal(self._demand)
        position = len(self._filters) if invalid is None else self._position(invalid)
        return (
            Refusal.of(failed, Stage.PLACEMENT)
            or self._refusal_by_filters(facts, position)
            or invalid
        )

    def server_limit(self, host: CloudHost) -> tuple[int, Refusal] | None:
        """Return how many further servers the host may have, and the refusal of the next one.

        None: the enabled filters do not limit the number of servers.
        """
        facts = filter_facts.of_host(host)
        limits = []
        if Stage.SERVERS in self._filters:
            limits.append((self._options.max_instances_per_host, Stage.SERVERS))
        if Stage.AGGREGATE_SERVERS in self._filters:
            most = server_filters.max_servers_of_aggregates(facts, self._options)
            limits.append((most, Stage.AGGREGATE_SERVERS))
        if not limits:
            return None
        most, stage = min(limits)
        failed = server_filters.too_many_servers(most, most)
        return max(0, most - len(facts.servers)), Refusal(*failed, stage)

    def _fit(self, free: HostCapacity) -> ServerFit | Refusal:
        if free not in self._fits:
            fitted = fit_server(free, gpu_flavors.applicable_demand(free, self._demand))
            if not isinstance(fitted, Refusal) or fitted.stage is not Stage.PLACEMENT:
                # The filter checks the flavor before the host.
                fitted = gpu_flavors.extra_spec_refusal(self._demand) or fitted
            self._fits[free] = fitted
        return self._fits[free]

    def _failed_in_placement(self, facts: FilteredHost, host: CloudHost) -> list[FailedConstraint]:
        failed = [
            *request_filters.failed_by_project(
                facts, self._server, self._aggregates, self._options
            ),
            *request_filters.failed_by_zone(facts, self._server, self._aggregates),
            *request_filters.failed_by_isolation(facts, self._required, self._options),
        ]
        try:
            missing = request_filters.image_traits(self._server, self._options) - host.traits
        except NotJudgedError as error:
            self._note("Placement", error)
            missing = frozenset()
        if missing:
            names = ", ".join(sorted(missing))
            detail = f"the host lacks the trait {names}, which the image requires"
            failed.append(FailedConstraint(Constraint.TRAITS, detail))
        return failed

    def _refusal_by_filters(self, facts: FilteredHost, position: int) -> Refusal | None:
        """Return the refusal of the first filter before a position that refuses."""
        for name in self._filters[:position]:
            if name in filters.OTHERS:
                continue
            stage = _STAGES.get(name)
            if stage is None:
                self.notes[f"{name} is not considered: it is not one of Nova's filters"] = None
                continue
            try:
                failed = filters.FILTERS[stage](facts, self._server, self._options)
            except NotJudgedError as error:
                self._note(name, error)
                continue
            if failed:
                return Refusal(failed.constraint, self._with_names(failed), stage)
        return None

    def _position(self, fitted: ServerFit | Refusal) -> int:
        """Return how many filters Nova calls before the component that refuses."""
        if isinstance(fitted, Refusal) and fitted.stage in self._filters:
            return self._filters.index(fitted.stage)
        return len(self._filters)

    def _with_names(self, failed: FailedConstraint) -> str:
        """Return the detail with names of projects instead of ids."""
        detail = failed.detail
        if failed.constraint is Constraint.PROJECT:
            nobody = f"project {isolation.NOBODY} "
            detail = detail.replace(nobody, "projects that do not exist ")
            for key, name in self._project_names.items():
                detail = detail.replace(key, name)
        return detail

    def _note(self, component: str, error: NotJudgedError) -> None:
        self.notes[f"{component} is not considered, since it depends on {error}"] = None


#: The components by name, as far as they are filters restated in ``nova_rules.filters``.
_STAGES: Mapping[str, Stage] = {stage.value: stage for stage in filters.FILTERS}


def enabled_filters(resolved: "ResolvedFleet") -> tuple[str, ...]:
    """Return the class names of nova-scheduler's filters in order."""
    names = control_options.filters(resolved.settings.enabled_filters)
    return tuple(name.rpartition(".")[2] for name in names)
