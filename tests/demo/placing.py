# SPDX-License-Identifier: Apache-2.0
"""Boot the servers of the demo in one embedded cloud and write each result as a JSON line.

Run it as ``python -m tests.demo.placing nova`` or ``gpu``, in one process each: a process can hold
only one cloud.
"""

import json
import sys
from typing import Any

from tests.demo import scenario
from tests.embedded.cloud import CloudError, EmbeddedCloud
from tests.embedded.fleet import GPU


def write_event(**event: Any) -> None:
    """Write one event for the parent process."""
    print(json.dumps(event), flush=True)


def create_flavors(cloud: EmbeddedCloud) -> None:
    """Create the flavors of the scenario, with their names as ids."""
    for name, flavor in scenario.FLAVORS.items():
        specs = {"hw:numa_nodes": str(flavor.numa_nodes)} if flavor.numa_nodes else {}
        cloud.create_flavor(name, flavor.vcpus, flavor.ram_mib, flavor.aliases, specs)


def boot(cloud: EmbeddedCloud, name: str, flavor: str) -> dict[str, Any]:
    """Boot one server and describe its placement."""
    try:
        server = cloud.boot(flavor, name=name)[0]
    except CloudError as error:
        return {"error": str(error).splitlines()[0].partition(": ")[2]}
    gpus = [held.device for held in cloud.devices_of(server) if held.device.role == GPU]
    return {
        "host": cloud.host_of(server),
        "gpus": [
            {"address": gpu.address, "numa_node": gpu.numa_node, "link_group": gpu.link_group}
            for gpu in gpus
        ],
        "guest_nodes": cloud.guest_numa_nodes(server),
    }


def main(gpu_scheduler: bool) -> None:
    """Run the whole scenario."""
    hosts = scenario.hosts()
    cloud = EmbeddedCloud(
        hosts,
        gpu_scheduler=gpu_scheduler,
        numa_policy=scenario.NUMA_POLICY,
        config={("gpu_passthrough", "randomize_equal_choices"): False} if gpu_scheduler else None,
    )
    with cloud:
        write_event(event="started")
        create_flavors(cloud)
        for number, flavor in enumerate(scenario.SEQUENCE, start=1):
            name = f"{number:02d} {flavor}"
            write_event(event="server", name=name, **boot(cloud, name, flavor))
        cloud.check_consistency()
        free = {host.name: len(cloud.free_gpus(host.name)) for host in hosts if host.gpus}
        reasons = [line.message for line in cloud.log_lines(containing="GPU request")]
        write_event(event="done", free=free, log=reasons)


if __name__ == "__main__":
    main(sys.argv[1] == "gpu")
