# SPDX-License-Identifier: Apache-2.0
"""Servers of other projects on hosts that the fleet file reserves for some projects.

AggregateMultiTenancyIsolation decides where new servers go; it moves none that exist.
"""

from collections.abc import Iterator

from nova_gpu_passthrough.cloud.lint.check import lint_check
from nova_gpu_passthrough.cloud.lint.facts import Facts
from nova_gpu_passthrough.inventory.findings import Finding, Severity


@lint_check(drift=False)
def check(facts: Facts) -> Iterator[Finding]:
    """Check each host of a group with projects, once its aggregate has them."""
    for host in facts.cloud.view.hosts if facts.cloud else ():
        group = facts.resolved.groups.get(host.name)
        if group is None or not group.projects or host.reserved_for is None:
            continue
        others = [one for one in host.servers if one.project_id not in host.reserved_for]
        if others:
            names = ", ".join(
                f"{server.name} ({server.id}) of project {server.project_id}" for server in others
            )
            yield Finding(
                "host.other_projects",
                Severity.WARNING,
                f"host {host.name}",
                f"servers of other projects than {', '.join(group.projects)}: {names}",
                "Nova, servers",
                "Nova moves no server when hosts are reserved for projects.",
                "; ".join(f"openstack server migrate {server.id}" for server in others),
            )
