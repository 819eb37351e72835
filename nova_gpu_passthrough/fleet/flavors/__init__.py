# SPDX-License-Identifier: Apache-2.0
"""Flavors for GPUs: sizes by which hosts fill up, extra specs, and what no host can boot."""

from nova_gpu_passthrough.fleet.flavors.generate import make
from nova_gpu_passthrough.fleet.flavors.plan import FlavorPlan, Left, Refused, Stranded

__all__ = ["FlavorPlan", "Left", "Refused", "Stranded", "make"]
