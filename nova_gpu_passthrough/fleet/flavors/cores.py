# SPDX-License-Identifier: Apache-2.0
"""Whole cores for servers whose vCPUs come to whole cores.

Nova takes both threads of free cores first, so that such servers share no core with each other
(``_pack_instance_onto_cores`` in nova/virt/hardware.py). Once another flavor takes half a core,
Nova gives what is left of it to the next server, unless that says
``hw:cpu_thread_policy=require``.
"""

import dataclasses
from collections.abc import Mapping, Sequence

from nova_gpu_passthrough.fleet.flavors.candidate import Candidate
from nova_gpu_passthrough.fleet.flavors.feasibility import Host
from nova_gpu_passthrough.fleet.flavors.specs import CPU_POLICY, DEDICATED, THREAD_POLICY
from nova_gpu_passthrough.nova_rules import guest_topology

_HYPERTHREADING = "HW_CPU_HYPERTHREADING"


def kept_whole(candidates: Sequence[Candidate], hosts: Mapping[str, Host]) -> list[Candidate]:
    """The flavors, with the policy where another one on the same hosts takes parts of cores."""
    broken = [made for made in candidates if _takes_parts(made, hosts)]
    result = []
    for made in candidates:
        spoiled = any(set(made.hosts) & set(other.hosts) for other in broken)
        if spoiled and _may_require(made, hosts) and made not in broken:
            specs = {**made.flavor.extra_specs, THREAD_POLICY: "require"}
            made = dataclasses.replace(
                made, flavor=dataclasses.replace(made.flavor, extra_specs=specs)
            )
        result.append(made)
    return result


def _takes_parts(made: Candidate, hosts: Mapping[str, Host]) -> bool:
    if made.flavor.extra_specs.get(CPU_POLICY) != DEDICATED:
        return False
    flavor = made.flavor
    cells = guest_topology.read(flavor.vcpus, flavor.ram_mib, flavor.extra_specs).cells
    return any(cell.pinned_cpus % _threads(hosts[h]) for cell in cells for h in made.hosts)


def _may_require(made: Candidate, hosts: Mapping[str, Host]) -> bool:
    """Whether it is generated, and all its hosts have threads."""
    specs = made.flavor.extra_specs
    said = THREAD_POLICY in specs or any(_HYPERTHREADING in key for key in specs)
    return (
        made.draft is not None
        and specs.get(CPU_POLICY) == DEDICATED
        and not said
        and all(_threads(hosts[host]) > 1 for host in made.hosts)
    )


def _threads(host: Host) -> int:
    return max((node.cell.threads for node in host.layout.nodes), default=1)
