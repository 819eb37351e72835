# SPDX-License-Identifier: Apache-2.0
"""Count GPUs by state, and free GPUs by whether a server could have them.

A free GPU is usable if a server could have it now. Otherwise it is either on a host that takes no
servers, or stranded: no server of any flavor fits on its host with it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from nova_gpu_passthrough.cloud.report.snapshot import Snapshot
from nova_gpu_passthrough.cloud.view import device_counts
from nova_gpu_passthrough.cloud.view.model import CloudDevice, CloudHost, DeviceState


@dataclass(frozen=True)
class GpuCounts:
    """Numbers of GPUs (VFs one by one) by state; ``total`` is the sum of those except ``free``."""

    #: Free in Placement: the next three.
    free: int = 0
    usable: int = 0
    stranded: int = 0
    #: Free, on hosts that take no servers.
    unavailable: int = 0
    in_use: int = 0
    reserved: int = 0
    stuck: int = 0
    missing: int = 0

    @property
    def total(self) -> int:
        """The number of all GPUs."""
        return self.free + self.in_use + self.reserved + self.stuck + self.missing


def count(snapshot: Snapshot, hosts: Iterable[CloudHost], model: str | None = None) -> GpuCounts:
    """Count the GPUs of hosts.

    :param model: count only GPUs of this model
    """
    gpus = ((host, gpu) for host in hosts for gpu in host.gpus)
    return _total(snapshot, (one for one in gpus if model in (None, one[1].model)))


def by_model(
    snapshot: Snapshot, hosts: Iterable[CloudHost] | None = None
) -> Mapping[str, GpuCounts]:
    """Count GPUs by model, sorted by its name.

    :param hosts: None: all hosts
    """
    gpus: dict[str, list[tuple[CloudHost, CloudDevice]]] = {}
    for host in snapshot.view.hosts if hosts is None else hosts:
        for gpu in host.gpus:
            gpus.setdefault(gpu.model or "", []).append((host, gpu))
    return {model: _total(snapshot, gpus[model]) for model in sorted(gpus)}


def _total(snapshot: Snapshot, gpus: Iterable[tuple[CloudHost, CloudDevice]]) -> GpuCounts:
    totals = dict.fromkeys(GpuCounts.__dataclass_fields__, 0)
    for host, gpu in gpus:
        for name, number in _of_gpu(snapshot, host, gpu).items():
            totals[name] += number
    return GpuCounts(**totals)


def _of_gpu(snapshot: Snapshot, host: CloudHost, gpu: CloudDevice) -> dict[str, int]:
    by_state = device_counts.units_by_state(gpu)
    free = by_state[DeviceState.FREE]
    unavailable = 0 if host.takes_servers else free
    stranded = 0 if unavailable else snapshot.stranded_units(gpu)
    return {
        "free": free,
        "usable": free - unavailable - stranded,
        "stranded": stranded,
        "unavailable": unavailable,
        "in_use": by_state[DeviceState.IN_USE],
        "reserved": by_state[DeviceState.RESERVED],
        "stuck": by_state[DeviceState.STUCK],
        "missing": by_state[DeviceState.MISSING],
    }
