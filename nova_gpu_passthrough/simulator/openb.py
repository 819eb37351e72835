# SPDX-License-Identifier: Apache-2.0
"""Alibaba's traces in the format of openb (cluster-trace-gpu-v2023).

Nodes: ``sn,cpu_milli,memory_mib,gpu,model``. Tasks: ``name,cpu_milli,memory_mib,num_gpu,
gpu_milli``, and where they are told ``gpu_spec`` (models, ``A|B``), and in seconds
``creation_time``, ``scheduled_time``, ``deletion_time``.
"""

import enum
from collections.abc import Iterator
from pathlib import Path

from nova_gpu_passthrough.errors import UserError
from nova_gpu_passthrough.packing.request_class import RequestClass
from nova_gpu_passthrough.simulator import layout, table
from nova_gpu_passthrough.simulator.layout import Numa, Topology
from nova_gpu_passthrough.simulator.ranker import SimHost
from nova_gpu_passthrough.simulator.table import Row
from nova_gpu_passthrough.simulator.trace import Task, Trace

#: A vCPU's parts: amounts are in thousandths.
PARTS = 1000
_WHOLE = 1000
_NODE_COLUMNS = ("sn", "cpu_milli", "memory_mib", "gpu", "model")
_TASK_COLUMNS = ("name", "cpu_milli", "memory_mib", "num_gpu", "gpu_milli")
#: No server has more.
_MOST_GPUS = 64


class Shares(enum.StrEnum):
    """What becomes of tasks that ask for a part of a GPU."""

    DROP = "drop"
    ROUND_UP = "round-up"


def nodes(path: Path, topology: Topology = Topology.RULE) -> list[SimHost]:
    """Read hosts; hosts without GPUs are hosts, too.

    :raises UserError: with file, line and column, if it is no list of nodes
    """
    hosts: list[SimHost] = []
    names: set[str] = set()
    for row in table.read(path, "a list of nodes", _NODE_COLUMNS):
        gpus, model = row.whole("gpu"), row.text("model")
        if gpus > _MOST_GPUS:
            raise UserError(row.place("gpu", f"at most {_MOST_GPUS} GPUs", str(gpus)))
        if gpus and not model:
            raise UserError(row.place("model", f"the model of the host's {gpus} GPUs", model))
        name = row.text("sn")
        if not name or name in names:
            raise UserError(row.place("sn", "a name that no other host has", name))
        names.add(name)
        vcpus, ram = row.whole("cpu_milli"), row.whole("memory_mib")
        state = layout.state(vcpus, ram, model, gpus, topology)
        hosts.append(SimHost(name, state, model if gpus else None, vcpus, ram, gpus, PARTS))
    if not hosts:
        raise UserError(f"{path} has no hosts; expected a line for each after the first")
    return hosts


def tasks(path: Path, shares: Shares, numa: Numa, hosts: list[SimHost]) -> tuple[Trace, list[str]]:
    """Read tasks.

    :param numa: what NUMA topology they get
    :param hosts: for which that is decided
    :returns: tasks, and what people must know of the conversion
    :raises UserError: with file, line and column, if it is no list of tasks
    """
    kinds = layout.kinds([host.state for host in hosts])
    there = {host.model for host in hosts}
    found: list[Task] = []
    classes: dict[RequestClass, RequestClass] = {}
    dropped = rounded = several = 0
    for row in table.read(path, "a list of tasks", _TASK_COLUMNS):
        gpus, share = row.whole("num_gpu"), row.whole("gpu_milli")
        if gpus > _MOST_GPUS:
            raise UserError(row.place("num_gpu", f"at most {_MOST_GPUS} GPUs", str(gpus)))
        if gpus and share < _WHOLE:
            if shares is Shares.DROP:
                dropped += 1
                continue
            rounded += 1
        models = list(_models(row)) if gpus else []
        several += len(models) > 1
        wanted = _class(row, gpus, models, there)
        if wanted not in classes:
            classes[wanted] = layout.guest(wanted, numa, kinds)
        found.append(Task(classes[wanted], 1.0, *_times(row)))
    if not found:
        raise UserError(f"{path} has no tasks that count; expected a line for each after the first")
    notes = []
    if dropped:
        notes.append(f"{dropped} tasks with a share of a GPU are left out (--shares drop)")
    if rounded:
        notes.append(
            f"{rounded} tasks with a share of a GPU get a whole one (--shares {shares.value})"
        )
    if several:
        notes.append(
            f"{several} tasks that take one of several models are bound to the first of them that "
            "the fleet has"
        )
    return Trace(found, PARTS), notes


def _models(row: Row) -> Iterator[str]:
    for model in row.text("gpu_spec").split("|"):
        if model.strip():
            yield model.strip()


def _class(row: Row, gpus: int, models: list[str], there: set[str | None]) -> RequestClass:
    vcpus, ram = row.whole("cpu_milli"), row.whole("memory_mib")
    model = next((model for model in models if model in there), models[0] if models else None)
    name = f"{gpus} GPUs{f' {model}' if model else ''}, {vcpus / PARTS:g} vCPUs, {ram} MiB"
    return RequestClass(name, gpus, model, vcpus, 0, ram)


def _times(row: Row) -> tuple[float | None, float | None]:
    """When it comes, and how long it runs from its start on."""
    begin, end = row.number("creation_time"), row.number("deletion_time")
    if begin is None or end is None:
        return begin, None
    started = row.number("scheduled_time")
    if started is not None and started > end:
        raise UserError(row.place("scheduled_time", f"a time before {end:g}", f"{started:g}"))
    return begin, end - (begin if started is None else started)
