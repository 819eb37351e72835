# SPDX-License-Identifier: Apache-2.0
"""Hosts added with ``--add``, which the operator might buy: ``10xHGX-H100``, ``4xgpu-017``."""

import re
from collections.abc import Iterable, Mapping, Sequence

from nova_gpu_passthrough.catalog import board_types
from nova_gpu_passthrough.catalog.board_types import BoardType
from nova_gpu_passthrough.errors import UserError
from nova_gpu_passthrough.packing.host_state import CellState, GpuGroup, HostState, canonical
from nova_gpu_passthrough.simulator import assumed_topology
from nova_gpu_passthrough.simulator.ranker import SimulatedHost

#: vCPUs and RAM for each GPU of a host with a board, by default. These are the amounts of NVIDIA's
#: servers with eight H200: two Xeon 8480C with 56 cores of two threads each, 2 TiB (MLPerf
#: Inference v4.1, closed/NVIDIA/systems/H200-SXM-141GBx8_TRT_MaxQ.json in mlcommons/
#: inference_results_v4.1).
VCPUS_PER_GPU = 28
RAM_GIB_PER_GPU = 256
_MOST_HOSTS = 100_000
_OPTION = re.compile(
    r"(?P<count>[1-9][0-9]*)x(?P<name>[^,]+)"
    r"(?:,vcpus=(?P<vcpus>[1-9][0-9]{0,5}))?(?:,ram-gib=(?P<ram>[1-9][0-9]{0,6}))?"
)


def hosts(
    words: Iterable[str], fleet: Sequence[SimulatedHost], pinned: bool
) -> list[SimulatedHost]:
    """Return the hosts that the values of ``--add`` describe.

    :param fleet: hosts that may be copied, and whose names are taken
    :param pinned: whether the CPUs of a host with a board are for pinned vCPUs or for shared ones
    :raises UserError: if a value is invalid or ambiguous
    """
    known = {host.name: host for host in fleet}
    taken = set(known)
    added: list[SimulatedHost] = []
    for word in words:
        match = _OPTION.fullmatch(word)
        if not match or int(match["count"]) > _MOST_HOSTS:
            raise UserError(
                f"--add {word}: expected COUNTxHOST or COUNTxBOARD[,vcpus=N][,ram-gib=N], such as "
                "10xHGX-H100"
            )
        name = match["name"]
        if name in known and (match["vcpus"] or match["ram"]):
            raise UserError(
                f"--add {word}: vcpus and ram-gib are those of host {name}; leave them out"
            )
        new = known[name] if name in known else _of_board(word, match, pinned, known)
        number = 0
        for _ in range(int(match["count"])):
            while (unique := f"{name}+{(number := number + 1)}") in taken:
                pass
            taken.add(unique)
            added.append(new._replace(name=unique))
    return added


def _of_board(
    word: str, match: re.Match[str], pinned: bool, known: Mapping[str, SimulatedHost]
) -> SimulatedHost:
    model, gpus = _board(word, match["name"], known)
    vcpus = int(match["vcpus"] or VCPUS_PER_GPU * gpus)
    ram_mib = int(match["ram"] or RAM_GIB_PER_GPU * gpus) * 1024
    cells = tuple(
        CellState(
            0 if pinned else half[0],
            half[0] if pinned else 0,
            half[1],
            (GpuGroup(model, 1, half[2]),),
        )
        for number in range(assumed_topology.CELLS)
        for half in [[assumed_topology.half(amount, number) for amount in (vcpus, ram_mib, gpus)]]
    )
    state = canonical(HostState(cells, 0 if pinned else vcpus, ram_mib))
    return SimulatedHost(match["name"], state, model, state.vcpus, ram_mib, gpus)


def _board(word: str, name: str, known: Mapping[str, SimulatedHost]) -> BoardType:
    """Return model and number of GPUs of ``HGX-H100``, ``HGX-A100-SXM-80GB-4`` or ``MI300X``."""
    matching = board_types.find(name)
    if len(matching) == 1:
        return matching[0]
    named = sorted(map(str, matching or board_types.known()))
    if matching:
        raise UserError(f"--add {word}: {name} is ambiguous, expected one of {', '.join(named)}")
    hosts = f", or a host such as {next(iter(known))}" if known else ""
    raise UserError(
        f"--add {word}: no board or host is named {name}, expected one of {', '.join(named)}{hosts}"
    )
