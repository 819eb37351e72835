# SPDX-License-Identifier: Apache-2.0
"""The example fleets in etc/fleet are valid."""

import pytest

from nova_gpu_passthrough.fleet import derive_state, resolve, store
from nova_gpu_passthrough.fleet.model import Mode
from tests.unit.fleet import inventories

EXAMPLES = sorted(inventories.FOLDER.parent.glob("*.yaml"))


def test_there_are_examples():
    assert [path.stem for path in EXAMPLES] == [
        "one-group",
        "projects-and-quotas",
        "vgpu-and-mig",
    ]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_has_no_refused_flavors_and_no_notes(path):
    resolved = resolve.resolve(store.load(path))
    desired, plan = derive_state.make(resolved)
    assert plan.refused == ()
    assert plan.notes == ()
    assert desired.fleet == resolved.file.name
    assert {host for aggregate in desired.aggregates for host in aggregate.hosts} == set(
        resolved.inventories
    )
    # Every host of mode passthrough can be filled so that no GPU is left.
    filled = {host for one in plan.best for host in one.hosts if not one.left.gpus}
    assert filled == {
        host for host, group in resolved.groups.items() if group.mode is Mode.PASSTHROUGH
    }


@pytest.mark.parametrize("host", sorted(inventories.SERVERS))
def test_an_example_inventory_is_that_of_the_audit(host):
    path = inventories.FOLDER / f"{host}.yaml"
    assert path.read_text(encoding="utf-8") == inventories.make(host)
