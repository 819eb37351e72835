# SPDX-License-Identifier: Apache-2.0
"""Synthetic: the server of ``l40s.py`` with A100 PCIe cards instead, joined in pairs by bridges.

Published, and followed here:

* NVIDIA/k8s-device-plugin issue 436: ``nvidia-smi topo -m`` with NV12 between bridged cards of one
  socket.
* kata-containers pull request 4358: 10de:20f1, class 0302, subsystem 10de:145f; 16 MiB (32-bit),
  64 GiB and 32 MiB (64-bit, prefetchable) in registers 0, 1 and 3; 16 GT/s x16.

Assumed: the server; 16 virtual functions and their registers.
"""

import dataclasses

from tests.trees import building_blocks, l40s
from tests.trees.device import Bar, Sriov
from tests.trees.model import Machine

A100 = 0x20F1

#: pairs of GPUs by index, with the number of links between them
BRIDGES = {(0, 1): 12, (2, 3): 12}


def machine(driver: str | None = "vfio-pci") -> Machine:
    """Return the server with four cards, ready for passthrough."""
    server = l40s.machine(4, driver, audio=False)
    addresses = [gpu.address for gpu in server.gpus()]
    sriov = Sriov(
        16,
        A100,
        (
            Bar(0, 256 * building_blocks.KIB, bits=32, prefetchable=False),
            Bar(1, 4 * building_blocks.GIB),
            Bar(3, 32 * building_blocks.MIB),
        ),
        offset=4,
    )
    server = server.alter(*addresses, device=A100, subsystem=(0x10DE, 0x145F), sriov=sriov)
    names = (*server.names, ("10de:20f1", "GA100 [A100 PCIe 40GB]"))
    return dataclasses.replace(server, name="a100-pcie-4", names=names)
