# SPDX-License-Identifier: Apache-2.0
"""``nova-gpu host list``: the GPU hosts of a cloud."""

import argparse
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from cliff.columns import FormattableColumn

from nova_gpu_passthrough.cli.cloud_command import CloudCommand
from nova_gpu_passthrough.cli.listing import DictColumn, ListColumn, ListCommand, OptionalColumn
from nova_gpu_passthrough.cli.table import Layout

if TYPE_CHECKING:
    from nova_gpu_passthrough.cloud.view.model import CloudHost
    from nova_gpu_passthrough.cloud.view.owners import Owners

_COLUMNS = ("Host", "State", "Model", "GPUs", "Free", "In Use", "Stuck")
_LONG = (
    "Group",
    "Rack",
    "Domains",
    "Reserved",
    "Missing",
    "Free by NUMA Node",
    "VCPU Free",
    "PCPU Free",
    "RAM Free MiB",
    "Availability Zone",
    "Projects",
    "Servers",
    "Aggregates",
    "Disabled Reason",
    "Provider",
)


class ListHosts(CloudCommand, ListCommand):
    """List the hosts that have GPUs, with their free resources.

    Lists all hosts with GPUs in Placement, and those that the fleet file names. Stuck GPUs are
    allocated to a consumer that cannot use them, missing GPUs are only in the host's inventory:
    device list says why. Groups, racks, missing GPUs and exact NUMA nodes need --fleet. Projects
    are those that alone may use a host (groups[].projects in the fleet file); without any, every
    project may.

    Needs role admin, or policies that permit reading: see "An auditor" in the documentation.
    """

    examples = """
        nova-gpu host list --os-cloud admin
          the GPU hosts of a cloud of clouds.yaml
        nova-gpu host list --fleet fleet.yaml --long --sort-column Free
          with groups and NUMA nodes, the fullest first
    """
    long_columns = _LONG
    layout = Layout(prose=("Disabled Reason",), heading=("Host",))
    nothing = "No host has GPUs in Placement, and no fleet file names one"

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Sequence[str], Iterable[Any]]:
        """Read the cloud and list its hosts."""
        view = self.read_view(parsed_args)
        owners = self.read_reserving(parsed_args, view)
        self.print_notes([*view.notes, *owners.notes])
        return _COLUMNS + _LONG, [_row(host, owners) for host in view.hosts]


def _row(host: "CloudHost", owners: "Owners") -> tuple[Any, ...]:
    from nova_gpu_passthrough.cloud.view import device_counts
    from nova_gpu_passthrough.fleet.model import RACK

    gpus = device_counts.count(host.gpus)
    resources = (host.resources.get(name) for name in ("VCPU", "PCPU", "MEMORY_MB"))
    return (
        host.name,
        _state(host),
        ListColumn(sorted({gpu.model for gpu in host.gpus if gpu.model})),
        gpus.total,
        gpus.free,
        gpus.in_use,
        gpus.stuck,
        OptionalColumn(host.group),
        OptionalColumn(host.domains.get(RACK)),
        DictColumn({level: name for level, name in host.domains.items() if level != RACK}),
        gpus.reserved,
        gpus.missing,
        DictColumn(device_counts.free_by_numa_node(host.gpus)),
        *(OptionalColumn(resource.free if resource else None) for resource in resources),
        OptionalColumn(host.availability_zone),
        _projects(host, owners),
        len(host.servers),
        ListColumn(sorted(host.aggregates)),
        host.disabled_reason,
        OptionalColumn(host.provider),
    )


def _projects(host: "CloudHost", owners: "Owners") -> FormattableColumn[Any]:
    """Return the names of the projects that alone may use a host."""
    if host.reserved_for is None:
        return OptionalColumn(None)
    names = (owners.projects.get(project, project) for project in host.reserved_for)
    return ListColumn(sorted(names) or ["(nobody)"])


def _state(host: "CloudHost") -> str:
    if not host.known:
        return "absent"
    words = ([] if host.up else ["down"]) + ([] if host.enabled else ["disabled"])
    return ", ".join(words) or "up"
