# SPDX-License-Identifier: Apache-2.0
"""Measure Placement's answer to a query for several GPUs, alone and with `DeviceCandidates`."""

import itertools
import time
import uuid

import webob
from placement import db_api
from placement.db.sqlalchemy import models

from nova_gpu_passthrough.placement.middleware import DeviceCandidates
from tests.benchmarks import report
from tests.unit.placement.service import GPU, HEADERS, Service

_GPUS = 8
#: Placement's options as doc/source/scheduler.rst recommends them. Without a limit, Placement alone
#: writes every order of the GPUs on each host: 40,320 for 8 of 8.
_RECOMMENDED = {
    "max_allocation_candidates": 10_000,
    "allocation_candidates_generation_strategy": "breadth-first",
}
_HOST = "resources=VCPU:2,MEMORY_MB:512,DISK_GB:1&group_policy=none&limit=10000"


def fill(service: Service, hosts: int) -> None:
    """Write hosts with free GPUs into the database; by the API it would take minutes."""
    engine = db_api.get_placement_engine()
    resource_class = models.ResourceClass.__table__
    with engine.begin() as connection:
        gpu_class = connection.execute(
            resource_class.select().where(resource_class.c.name == GPU)
        ).one()
        ids = itertools.count(1)
        providers, inventories = [], []
        for _ in range(hosts):
            root = next(ids)
            providers.append((root, root, None))
            # VCPU, MEMORY_MB and DISK_GB are the first standard classes.
            inventories += [(root, 0, 64), (root, 1, 524_288), (root, 2, 4_096)]
            for child in itertools.islice(ids, _GPUS):
                providers.append((child, root, root))
                inventories.append((child, gpu_class.id, 1))
        connection.execute(
            models.ResourceProvider.__table__.insert(),
            [
                {
                    "id": number,
                    "uuid": str(uuid.uuid4()),
                    "name": str(number),
                    "generation": 0,
                    "root_provider_id": root,
                    "parent_provider_id": parent,
                }
                for number, root, parent in providers
            ],
        )
        connection.execute(
            models.Inventory.__table__.insert(),
            [
                {
                    "resource_provider_id": provider,
                    "resource_class_id": rc,
                    "total": total,
                    "reserved": 0,
                    "min_unit": 1,
                    "max_unit": total,
                    "step_size": 1,
                    "allocation_ratio": 1.0,
                }
                for provider, rc, total in inventories
            ],
        )


def _ask(application: object, gpus: int) -> tuple[float, int, int, int]:
    """Return processor seconds, bytes, candidates and hosts of an answer."""
    groups = "".join(f"&resources_a-{number}={GPU}:1" for number in range(gpus))
    request = webob.Request.blank(f"/allocation_candidates?{_HOST}{groups}", headers=HEADERS)
    start = time.process_time()
    response = request.get_response(application)
    seconds = time.process_time() - start
    assert response.status_int == 200, response.text
    answer = response.json
    summaries = answer["provider_summaries"]
    hosts = {
        summaries[next(iter(candidate["allocations"]))]["root_provider_uuid"]
        for candidate in answer["allocation_requests"]
    }
    return seconds, len(response.body), len(answer["allocation_requests"]), len(hosts)


def main(expectations: report.Expectations, quick: bool) -> None:
    """Measure and print, and compare with the expectations."""
    hosts = 100 if quick else 1000
    rows = []
    ratios = {}
    with Service() as service:
        report.progress(f"placement: writing {hosts} hosts")
        fill(service, hosts)
        service.config.config(group="placement", **_RECOMMENDED)
        service.config.config(group="workarounds", optimize_for_wide_provider_trees=True)
        wrapped = DeviceCandidates(service.application, _RECOMMENDED["max_allocation_candidates"])
        _ask(service.application, 0)
        base = min(_ask(service.application, 0)[0] for _ in range(3))
        for gpus in (0, 1, 2, 4, 8):
            report.progress(f"placement: queries for {gpus} GPUs")
            own = min(_ask(service.application, gpus) for _ in range(3))
            ours = min(_ask(wrapped, gpus) for _ in range(3))
            ratios[gpus] = ours[0] / base
            rows.append(
                [
                    str(gpus),
                    *(
                        cell
                        for seconds, size, candidates, found in (own, ours)
                        for cell in (
                            report.milliseconds(seconds),
                            report.times(seconds / base),
                            f"{size / 1e6:.1f}",
                            f"{candidates:,}",
                            f"{found:,}",
                        )
                    ),
                ]
            )
    columns = ["ms", "", "MB", "candidates", "hosts"]
    report.heading(f"Placement's answer on {hosts:,} hosts with {_GPUS} free GPUs, SQLite")
    report.table(
        ["GPUs", *columns, *(f"ours {name}".rstrip() for name in columns)],
        rows,
        ["Recommended options. Ratios are to Placement's answer without GPUs in the same run."],
    )
    expectations.add(
        "Placement's answer for 8 GPUs takes at most 1.2 times that for 1",
        ratios[8] <= 1.2 * ratios[1],
        report.times(ratios[8] / ratios[1]),
    )
