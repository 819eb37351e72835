# SPDX-License-Identifier: Apache-2.0
"""Run the commands of this package as a user of the cloud."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nova_gpu_passthrough.cloud.apply import comparison, execution, record
from nova_gpu_passthrough.cloud.apply.record import Ledger
from nova_gpu_passthrough.cloud.apply.writer import CloudWriter
from nova_gpu_passthrough.fleet.desired_state import DesiredState
from tests.cloud.control_plane import ControlPlane

#: Seconds for a command, while services may be unavailable.
_TIMEOUT = 180
_FLEET = """\
schema: nova-gpu-passthrough/fleet
version: 1
name: {name}
groups:
  - {{name: {name}-h100, inventories: [{folder}/gpu01.yaml, {folder}/gpu02.yaml]}}
  - {{name: {name}-l40s, inventories: [{folder}/gpu03.yaml]}}
flavors:
  - {{model: H100-SXM, name: "{name}.{{alias}}.{{count}}", disk_gib: 10}}
  - {{model: L40S, name: "{name}.{{alias}}.{{count}}", disk_gib: 10}}
projects:
  - {{name: research, domain: Default, flavors: ["{name}.*"]}}
"""


def nova_gpu(
    plane: ControlPlane, *words: object, cloud: str = "admin"
) -> subprocess.CompletedProcess[str]:
    """Run ``nova-gpu``."""
    return subprocess.run(
        ["nova-gpu", *map(str, words)],
        env=plane.environment(cloud),
        capture_output=True,
        text=True,
        timeout=_TIMEOUT,
    )


def write_fleet(plane: ControlPlane, folder: Path, name: str) -> Path:
    """Write a fleet file for all GPU hosts, whose flavors the project research may use."""
    path = folder / f"{name}.yaml"
    path.write_text(_FLEET.format(name=name, folder=plane.inventories[0].parent))
    return path


@contextmanager
def applied(plane: ControlPlane, fleet: Path) -> Iterator[None]:
    """Apply a fleet file to the cloud; delete what was created afterwards."""
    try:
        done = nova_gpu(plane, "apply", "--fleet", fleet)
        assert done.returncode == 0, done.stderr
        yield
    finally:
        undo(plane, fleet)


def undo(plane: ControlPlane, fleet: Path) -> None:
    """Delete what ``apply`` created for a fleet file; no fleet file can describe an empty fleet."""
    place = record.default_path(fleet)
    known = record.load(place)
    if known is None:
        return
    with plane.connection("admin") as admin:
        api = CloudWriter(admin)
        nothing = comparison.compare(api, DesiredState(known.fleet), known, change_used=True)
        ledger = Ledger(known, lambda new: record.save(place, new))
        assert execution.run(api, nothing, ledger) == []
