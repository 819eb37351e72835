# SPDX-License-Identifier: Apache-2.0
"""Plan the flavors of a fleet: their sizes, extra specs and hosts.

``planning`` makes drafts from rules (``draft``, with ``shares`` of the hosts and extra ``specs``)
and candidates from drafts (``candidate``, with a check of ``feasibility``), and fills hosts with
servers of the candidates (``stranded_resources``).
"""

from nova_gpu_passthrough.fleet.flavors.flavor_plan import (
    FlavorPlan,
    HostResources,
    RefusedFlavor,
    StrandedResources,
)
from nova_gpu_passthrough.fleet.flavors.planning import make

__all__ = ["FlavorPlan", "HostResources", "RefusedFlavor", "StrandedResources", "make"]
