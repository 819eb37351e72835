# SPDX-License-Identifier: Apache-2.0
"""Desired states, for tests of apply."""

from nova_gpu_passthrough.fleet.desired_state import (
    Aggregate,
    DesiredState,
    Flavor,
    Limit,
    ProjectName,
)

H100 = "CUSTOM_GPU_H100"
RESEARCH, TEACHING = ProjectName("research"), ProjectName("teaching")


def flavor(name="gpu.h100.1", projects=(RESEARCH,), vcpus=16, ram_mib=131072, **extra_specs):
    """Return a flavor with one GPU; ``__`` in names of extra specs is replaced with a colon."""
    specs = {"pci_passthrough:alias": "h100:1", "hw:cpu_policy": "dedicated"}
    specs |= {key.replace("__", ":"): value for key, value in extra_specs.items()}
    return Flavor(name, vcpus, ram_mib, 40, specs, projects, 1, "H100")


def aggregate(name="gpu-h100", hosts=("gpu01", "gpu02"), zone=None, projects=None, **metadata):
    """Return an aggregate."""
    return Aggregate(name, tuple(hosts), metadata, zone, projects)


def limit(value, project=None, resource=f"class:{H100}"):
    """Return a limit on GPUs."""
    return Limit(resource, value, project)


def desired(**changes):
    """Return the desired state of a small fleet with one object of each kind."""
    everything = {
        "traits": ("CUSTOM_GPU_MODEL_H100",),
        "resource_classes": (H100,),
        "aggregates": (aggregate(gpu_mode="passthrough"),),
        "flavors": (flavor(),),
        "limits": (limit(0), limit(4, RESEARCH)),
        "aliases": {"h100": H100},
    }
    return DesiredState("paris", **{**everything, **changes})
