# SPDX-License-Identifier: Apache-2.0
"""Hosts that an operator thinks of buying: ``10xHGX-H100``, ``4xgpu-017``."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from nova_gpu_passthrough.catalog import boards, models
from nova_gpu_passthrough.errors import UserError
from nova_gpu_passthrough.packing.host_state import CellState, GpuGroup, HostState, canonical
from nova_gpu_passthrough.simulator import layout
from nova_gpu_passthrough.simulator.ranker import SimHost

#: What a host with a board has for each GPU, where nothing is said. It is that of servers with
#: eight H200 that NVIDIA measured: two Xeon 8480C with 56 cores of two threads each, 2 TiB (MLPerf
#: Inference v4.1, closed/NVIDIA/systems/H200-SXM-141GBx8_TRT_MaxQ.json in mlcommons/
#: inference_results_v4.1).
VCPUS_PER_GPU = 28
RAM_GIB_PER_GPU = 256
_USUAL_GPUS = 8
_MOST_HOSTS = 100_000
_WORD = re.compile(
    r"(?P<count>[1-9][0-9]*)x(?P<name>[^,]+)"
    r"(?:,vcpus=(?P<vcpus>[1-9][0-9]{0,5}))?(?:,ram-gib=(?P<ram>[1-9][0-9]{0,6}))?"
)


class _Board(NamedTuple):
    model: str
    gpus: int


def hosts(words: Iterable[str], fleet: Sequence[SimHost], pinned: bool) -> list[SimHost]:
    """The hosts that such words stand for.

    :param fleet: hosts that may be named, and whose names must not come again
    :param pinned: whether a board's host keeps its CPUs for pinning or for sharing
    :raises UserError: if a word makes no sense, or stands for several boards
    """
    known = {host.name: host for host in fleet}
    taken = set(known)
    found: list[SimHost] = []
    for word in words:
        match = _WORD.fullmatch(word)
        if not match or int(match["count"]) > _MOST_HOSTS:
            raise UserError(
                f"--add {word}: expected COUNTxHOST or COUNTxBOARD[,vcpus=N][,ram-gib=N], such as "
                "10xHGX-H100"
            )
        name = match["name"]
        if name in known and (match["vcpus"] or match["ram"]):
            raise UserError(f"--add {word}: host {name} has its own vCPUs and RAM; leave them out")
        new = known[name] if name in known else _of_board(word, match, pinned, known)
        number = 0
        for _ in range(int(match["count"])):
            while (made := f"{name}+{(number := number + 1)}") in taken:
                pass
            taken.add(made)
            found.append(new._replace(name=made))
    return found


def _of_board(
    word: str, match: re.Match[str], pinned: bool, known: Mapping[str, SimHost]
) -> SimHost:
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
        for number in range(layout.CELLS)
        for half in [[layout.half(amount, number) for amount in (vcpus, ram_mib, gpus)]]
    )
    state = canonical(HostState(cells, 0 if pinned else vcpus, ram_mib))
    return SimHost(match["name"], state, model, state.vcpus, ram_mib, gpus)


def _board(word: str, name: str, known: Mapping[str, SimHost]) -> _Board:
    """The GPUs' model and number: ``HGX-H100``, ``HGX-A100-SXM-80GB-4``, ``MI300X``."""
    plain = re.sub(r"^(HGX|DGX)-", "", name, flags=re.IGNORECASE).lower()
    found = _like(plain)
    counted = re.fullmatch(r"(.+)-([0-9]+)", plain)
    if not found and counted:
        found = [one for one in _like(counted[1]) if one.gpus == int(counted[2])]
    exact = [one for one in found if one.model.lower() in (plain, counted and counted[1])]
    found = exact or found
    usual = [one for one in found if one.gpus == _USUAL_GPUS]
    found = usual or found
    if len(found) == 1:
        return found[0]
    named = sorted({f"{one.model}-{one.gpus}" for one in found or _like("")})
    if found:
        raise UserError(f"--add {word}: {name} may be {', '.join(named)}; name one of them")
    hosts = f", or a host such as {next(iter(known))}" if known else ""
    raise UserError(
        f"--add {word}: there is no board and no host {name}; expected one of {', '.join(named)}"
        f"{hosts}"
    )


def _like(start: str) -> list[_Board]:
    """Boards with GPUs of which the model's name begins so."""
    found: dict[_Board, None] = {}
    for board in boards.boards():
        for product in sorted(board.products):
            model = models.lookup(*product.split(":"))
            if model and f"{model.name.lower()}-".startswith(f"{start}-" if start else ""):
                found[_Board(model.name, board.gpus)] = None
    return list(found)
