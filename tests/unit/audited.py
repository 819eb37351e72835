# SPDX-License-Identifier: Apache-2.0
"""Audit small synthetic machines, whose trees are written in memory."""

import dataclasses
import functools

import pytest

from nova_gpu_passthrough.host import audit, sysfs
from nova_gpu_passthrough.host.root import Root
from nova_gpu_passthrough.inventory.findings import Severity
from tests.trees import building_blocks, defects, scratch, write
from tests.unit.trees.strategies import MACHINES as FULL

_CORES = 4


@pytest.fixture
def folder():
    """An empty directory, in memory if possible."""
    with scratch.directory() as name:
        # Without symbolic links, so that paths can be compared.
        yield name.resolve()


@pytest.fixture(scope="session")
def tree():
    """A function that writes the tree of a machine once, for tests that do not change it."""
    written = {}
    with scratch.directory() as name:

        def written_once(machine, full_config=False):
            key = (machine, full_config)
            if key not in written:
                written[key] = write(machine, f"{name}/{len(written)}", full_config)
            return written[key]

        yield written_once


def smaller(machine):
    """Return the machine with few cores: most files of a tree are those of cores, and all alike."""
    processor = dataclasses.replace(machine.processor, cores_per_socket=_CORES)
    count = len(machine.nodes)
    cores = _CORES * processor.sockets // count
    nodes = building_blocks.nodes(
        count, cores, machine.nodes[0].memory_mib, processor.threads_per_core
    )
    return dataclasses.replace(machine, processor=processor, nodes=nodes)


def clean(machine):
    """Return the machine without anything that causes warnings."""
    machine = machine.alter(*machine.devices(), d3cold_allowed=False)
    return defects.hugepages(machine, 0, 1048576, 900, 900)


MACHINES = {name: smaller(machine) for name, machine in FULL.items()}
HGX = clean(MACHINES["hgx-h100"])
MI300X = clean(MACHINES["mi300x-vfio"])
L40S = clean(MACHINES["l40s-4"])


def read(root):
    """Return the facts of a tree."""
    return sysfs.read(Root(root))


def audited(root):
    """Return the findings and verdicts of a tree."""
    opened = Root(root)
    facts = sysfs.read(opened)
    return audit.judge(facts, opened.findings())


@functools.cache
def audit_machine(machine, full_config=False):
    """Write the tree of a machine, and return its findings and verdicts."""
    with scratch.directory() as name:
        return audited(write(machine, f"{name}/tree", full_config))


def ids(inventory, severity=None, subject=None):
    """Return the ids of findings, except verdicts; without a severity, all that are not ok."""
    return {
        finding.id
        for finding in inventory.findings
        if (finding.severity is severity if severity else finding.severity is not Severity.OK)
        and (subject is None or finding.subject == subject)
        and finding.id != "verdict"
    }


def finding(inventory, identity, subject=None):
    """Return the only finding with this id."""
    (found,) = (
        finding
        for finding in inventory.findings
        if finding.id == identity and (subject is None or finding.subject == subject)
    )
    return found


def changed(inventory, address, **changes):
    """Return the inventory with one function changed."""
    devices = tuple(
        dataclasses.replace(device, **changes) if device.address == address else device
        for device in inventory.devices
    )
    assert address in inventory.by_address
    return dataclasses.replace(inventory, devices=devices)


def only(findings, identity):
    """Return the only finding with this id among those of a check."""
    (found,) = (finding for finding in findings if finding.id == identity)
    return found
