# SPDX-License-Identifier: Apache-2.0
"""What is done in the boots that the tests share: see conftest.py for the boots themselves."""

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

    :param devices: names of the functions that it gets
    :param beside: one function of a guest that runs already
    """

    devices: tuple[str, ...]
    beside: str = ""


#: Guests that are started while nothing is configured.
PLAIN_GUESTS = {
    "good": Guest(("a100-ready",)),
    "companion": Guest(("l40s",)),
    "foreign": Guest(("t4",)),
    "shared": Guest(("l4-b",), beside="l4-a"),
    "unresettable": Guest(("gaudi2",)),
    "virtual": Guest(("h100-vf",)),
}
#: Guests that are started once vfio-pci is configured.
CONFIGURED_GUESTS = {"card": Guest(("l40s", "l40s-audio"))}
#: Virtual functions that the plain boot makes, by the device that they belong to.
VIRTUAL = {"address": SERVER.address("h100"), "count": 2}
VIRTUAL_ADDRESS = SERVER.address("h100").removesuffix("0") + "1"

#: Of two equal cards, the one that stays with the host.
KEPT = "a100-host"
#: What an operator has there already.
CONFIGURATION: dict[str, str | bytes | Path] = {"etc/modules-load.d/others.conf": "vhost_net\n"}


@dataclass(frozen=True)
class Observed:
    """What one boot found, as jobs/observe.py describes it, step by step."""

    result: Result

    def __getitem__(self, step: str) -> Any:
        return self.result.json(f"{step}.json")

    def device(self, name: str) -> dict[str, Any]:
        """What the kernel says of a function of :data:`SERVER`, by its name."""
        found: dict[str, Any] = self["system"]["devices"][SERVER.address(name)]
        return found

    def group(self, name: str) -> set[str]:
        """Addresses of what is in the IOMMU group of a function, itself included."""
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
    """Boot, run steps of jobs/observe.py in turn, and return what they found.

    :param guests: for the step ``guests``, in the order in which they are started
    :param files: further files for the steps
    """
    given: dict[str, str | bytes | Path] = {"observe.py": OBSERVE, **(files or {})}
    given["guests.json"] = json.dumps({name: _given(it) for name, it in (guests or {}).items()})
    given["pf.json"] = json.dumps(VIRTUAL)
    given["kept.json"] = json.dumps(SERVER.address(KEPT))
    job = f"#!/bin/sh\nexec python3 observe.py {' '.join(steps)}\n"
    return Observed(server.boot(job, files=given, command_line=command_line).check())


def _given(guest: Guest) -> dict[str, Any]:
    return {
        "devices": [_address(name) for name in guest.devices],
        "beside": {f"with-{guest.beside}": [_address(guest.beside)]} if guest.beside else {},
    }


def _address(name: str) -> str:
    return VIRTUAL_ADDRESS if name == "h100-vf" else SERVER.address(name)
