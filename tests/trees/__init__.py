# SPDX-License-Identifier: Apache-2.0
"""Synthetic GPU servers: trees of /sys, /proc and a few other files, in the format of Linux.

No file here was recorded on a machine. Each server follows a published layout that its module
names; data that was not published is listed there as an assumption.

    from tests.trees import hgx_h100, write
    write(hgx_h100.machine(), tmp_path)
"""

from pathlib import Path

from tests.trees.groups import iommu_groups
from tests.trees.hardware import write_hardware
from tests.trees.kernel import write_kernel
from tests.trees.model import Machine
from tests.trees.pci import write_pci
from tests.trees.tree import Tree


def write(machine: Machine, root: Path | str, full_config: bool = False) -> Path:
    """Write the files of a machine below a directory, which is created if it does not exist.

    :param full_config: the configuration spaces with all capabilities, as root reads them,
        instead of their first 64 bytes
    :raises FileExistsError: if the directory already has a tree
    """
    tree = Tree(root)
    write_hardware(machine, tree)
    write_kernel(machine, tree)
    write_pci(machine, tree, iommu_groups(machine), full_config)
    return tree.root
