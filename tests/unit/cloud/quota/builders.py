# SPDX-License-Identifier: Apache-2.0
"""Quotas of fake clouds, in Keystone, and usages in Placement."""

import uuid

H100, L40S = "class:CUSTOM_GPU_H100_SXM", "class:CUSTOM_GPU_L40S"
LIMITS = {"servers": 10, "class:VCPU": 100, "class:PCPU": 100, "class:MEMORY_MB": 65536}


def use_unified_limits(cloud, h100=0, l40s=0):
    """Register limits, and let Nova report them as UnifiedLimitsDriver does."""
    for resource, value in (LIMITS | {H100: h100, L40S: l40s}).items():
        if value is not None:
            cloud.keystone.limit(resource, value)
    cloud.nova.default_quotas = {
        "instances": LIMITS["servers"],
        "cores": LIMITS["class:VCPU"],
        "ram": LIMITS["class:MEMORY_MB"],
    }


def use(cloud, project, amounts, kind="INSTANCE"):
    """Let a consumer of a project (by name) use amounts by resource class."""
    key = str(uuid.uuid4())
    provider = cloud.placement.add_provider(f"provider-{key}", amounts)
    cloud.placement.allocate(key, {provider: amounts}, f"id-{project}", kind)
