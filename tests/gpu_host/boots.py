# SPDX-License-Identifier: Apache-2.0
"""The steps in the boots that the tests share; conftest.py has the boots."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.gpu_host.server import GpuServer, Result
from tests.gpu_host.topology import SERVER

OBSERVE = Path(__file__).with_name("jobs") / "observe.py"


@dataclass(frozen=True)
class Guest:
    """A libvirt guest inside the server.

    :param devices: names of its functions
    :param other_device: function of another guest that is started before
    """

    devices: tuple[str, ...]
    other_device: str = ""


#: Guests that are started without configuration.
PLAIN_GUESTS = {
    "no_defects": Guest(("a100-ready",)),
    "companion": Guest(("l40s",)),
    "foreign": Guest(("t4",)),
    "shared": Guest(("l4-b",), other_device="l4-a"),
    "unresettable": Guest(("gaudi2",)),
    "virtual": Guest(("h100-vf",)),
}
#: Guests that are started once vfio-pci is configured.
CONFIGURED_GUESTS = {"card": Guest(("l40s", "l40s-audio"))}
#: Virtual functions that the plain boot creates, and their physical function.
VIRTUAL = {"address": SERVER.address("h100"), "count": 2}
VIRTUAL_ADDRESS = SERVER.address("h100").removesuffix("0") + "1"

#: Of two equal cards, the one that stays with the host.
KEPT = "a100-host"
#: Files that the operator already has.
CONFIGURATION: dict[str, str | bytes | Path] = {"etc/modules-load.d/others.conf": "vhost_net\n"}


@dataclass(frozen=True)
class Observed:
    """The results of one boot by step of jobs/observe.py."""

    result: Result

    def __getitem__(self, step: str) -> Any:
        return self.result.json(f"{step}.json")

    def device(self, name: str) -> dict[str, Any]:
        """Return what the kernel reports about a function of :data:`SERVER`."""
        facts: dict[str, Any] = self["system"]["devices"][SERVER.address(name)]
        return facts

    def group(self, name: str) -> set[str]:
        """Return the addresses of all functions in the IOMMU group of a function."""
        number = self.device(name)["iommu_group"]
        devices = self["system"]["devices"].items()
        return {address for address, device in devices if device["iommu_group"] == number}


def observe(
    server: GpuServer,
    steps: Iterable[str],
    *,
    guests: Mapping[str, Guest] | None = None,
    files: Mapping[str, str | bytes | Path] | None = None,
    command_line: str | None = None,
) -> Observed:
    """Boot, run steps of jobs/observe.py in order, and return their results.

    :param guests: guests of the step ``guests``, in the order in which they are started
    :param files: other files for the steps
    """
    job_files: dict[str, str | bytes | Path] = {"observe.py": OBSERVE, **(files or {})}
    job_files["guests.json"] = json.dumps(
        {name: _guest_devices(guest) for name, guest in (guests or {}).items()}
    )
    job_files["pf.json"] = json.dumps(VIRTUAL)
    job_files["kept.json"] = json.dumps(SERVER.address(KEPT))
    job = f"#!/bin/sh\nexec python3 observe.py {' '.join(steps)}\n"
    return Observed(server.boot(job, files=job_files, command_line=command_line).check())


def _guest_devices(guest: Guest) -> dict[str, Any]:
    other = guest.other_device
    return {
        "devices": [_address(name) for name in guest.devices],
        "start_before": {f"with-{other}": [_address(other)]} if other else {},
    }


def _address(name: str) -> str:
    return VIRTUAL_ADDRESS if name == "h100-vf" else SERVER.address(name)
