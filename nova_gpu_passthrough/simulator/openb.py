# SPDX-License-Identifier: Apache-2.0
"""Read traces in the format of openb, Alibaba's cluster-trace-gpu-v2023.

Nodes: ``sn,cpu_milli,memory_mib,gpu,model``. Tasks: ``name,cpu_milli,memory_mib,num_gpu,
gpu_milli``, optionally ``gpu_spec`` (models, ``A|B``), and ``creation_time``, ``scheduled_time``,
``deletion_time`` in seconds.
"""

import enum
from collections.abc import Iterator
from pathlib import Path

from nova_gpu_passthrough.errors import UserError
from nova_gpu_passthrough.packing.request_class import RequestClass
from nova_gpu_passthrough.simulator import assumed_topology, csv_table
from nova_gpu_passthrough.simulator.assumed_topology import GuestNuma, HostTopology
from nova_gpu_passthrough.simulator.csv_table import CsvRow
from nova_gpu_passthrough.simulator.ranker import SimulatedHost
from nova_gpu_passthrough.simulator.trace import Task, Trace

#: Amounts of vCPUs are in thousandths.
UNITS_PER_VCPU = 1000
_WHOLE_GPU = 1000
_NODE_COLUMNS = ("sn", "cpu_milli", "memory_mib", "gpu", "model")
_TASK_COLUMNS = ("name", "cpu_milli", "memory_mib", "num_gpu", "gpu_milli")
#: The most GPUs of a host or a task.
_MOST_GPUS = 64


class Shares(enum.StrEnum):
    """How tasks that request a share of a GPU are converted."""

    DROP = "drop"
    ROUND_UP = "round-up"


def read_nodes(path: Path, topology: HostTopology = HostTopology.RULE) -> list[SimulatedHost]:
    """Read hosts with and without GPUs.

    :raises UserError: with file, line and column, if the file is no list of nodes
    """
    hosts: list[SimulatedHost] = []
    names: set[str] = set()
    for row in csv_table.read(path, "a list of nodes", _NODE_COLUMNS):
        gpus, model = row.whole("gpu"), row.text("model")
        if gpus > _MOST_GPUS:
            raise UserError(row.message("gpu", f"at most {_MOST_GPUS} GPUs", str(gpus)))
        if gpus and not model:
            raise UserError(row.message("model", f"the model of the host's {gpus} GPUs", model))
        name = row.text("sn")
        if not name or name in names:
            raise UserError(row.message("sn", "a name that no other host has", name))
        names.add(name)
        vcpus, ram = row.whole("cpu_milli"), row.whole("memory_mib")
        state = assumed_topology.host_state(vcpus, ram, model, gpus, topology)
        hosts.append(
            SimulatedHost(name, state, model if gpus else None, vcpus, ram, gpus, UNITS_PER_VCPU)
        )
    if not hosts:
        raise UserError(f"{path} has no hosts; expected a line for each after the first")
    return hosts


def read_tasks(
    path: Path, shares: Shares, numa: GuestNuma, hosts: list[SimulatedHost]
) -> tuple[Trace, list[str]]:
    """Read tasks.

    :param numa: the NUMA topology that their guests get
    :param hosts: the hosts, whose sizes decide the number of NUMA cells
    :returns: the tasks, and notes on the conversion for the user
    :raises UserError: with file, line and column, if the file is no list of tasks
    """
    states = dict.fromkeys(host.state for host in hosts)
    host_models = {host.model for host in hosts}
    tasks: list[Task] = []
    classes: dict[RequestClass, RequestClass] = {}
    dropped = rounded = several = 0
    for row in csv_table.read(path, "a list of tasks", _TASK_COLUMNS):
        gpus, share = row.whole("num_gpu"), row.whole("gpu_milli")
        if gpus > _MOST_GPUS:
            raise UserError(row.message("num_gpu", f"at most {_MOST_GPUS} GPUs", str(gpus)))
        if gpus and share < _WHOLE_GPU:
            if shares is Shares.DROP:
                dropped += 1
                continue
            rounded += 1
        models = list(_models(row)) if gpus else []
        several += len(models) > 1
        request_class = _class(row, gpus, models, host_models)
        if request_class not in classes:
            classes[request_class] = assumed_topology.with_guest_numa(request_class, numa, states)
        tasks.append(Task(classes[request_class], 1.0, *_times(row)))
    if not tasks:
        raise UserError(f"{path} has no usable tasks; expected a line for each after the first")
    notes = []
    if dropped:
        notes.append(f"{dropped} tasks with a share of a GPU are left out (--shares drop)")
    if rounded:
        notes.append(
            f"{rounded} tasks with a share of a GPU get a whole one (--shares {shares.value})"
        )
    if several:
        notes.append(
            f"{several} tasks that accept several models are bound to the first of them that the "
            "fleet has"
        )
    return Trace(tasks, UNITS_PER_VCPU), notes


def _models(row: CsvRow) -> Iterator[str]:
    for model in row.text("gpu_spec").split("|"):
        if model.strip():
            yield model.strip()


def _class(row: CsvRow, gpus: int, models: list[str], host_models: set[str | None]) -> RequestClass:
    vcpus, ram = row.whole("cpu_milli"), row.whole("memory_mib")
    model = next((model for model in models if model in host_models), models[0] if models else None)
    name = f"{gpus} GPUs{f' {model}' if model else ''}, {vcpus / UNITS_PER_VCPU:g} vCPUs, {ram} MiB"
    return RequestClass(name, gpus, model, vcpus, 0, ram)


def _times(row: CsvRow) -> tuple[float | None, float | None]:
    """Return the time of the request and the duration from the start of the task."""
    begin, end = row.number("creation_time"), row.number("deletion_time")
    if begin is None or end is None:
        return begin, None
    started = row.number("scheduled_time")
    if started is not None and started > end:
        raise UserError(row.message("scheduled_time", f"a time before {end:g}", f"{started:g}"))
    return begin, end - (begin if started is None else started)
