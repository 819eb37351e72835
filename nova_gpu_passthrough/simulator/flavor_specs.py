# SPDX-License-Identifier: Apache-2.0
"""Values of ``--flavor``: a flavor of the fleet or a description, and how often it is requested."""

import re
from collections.abc import Iterable, Mapping

from nova_gpu_passthrough.errors import UserError, did_you_mean
from nova_gpu_passthrough.packing.request_class import GpuLocality, RequestClass
from nova_gpu_passthrough.simulator.trace import Task, Trace

_KEYS = ("gpus", "vcpus", "pinned-cpus", "ram-gib", "numa", "model", "count")
_MOST = {"gpus": 64, "numa": 128}
_EXPECTED = (
    "expected NAME[,count=N] of a flavor of the fleet, or gpus=N,vcpus=N,ram-gib=N[,pinned-cpus=N]"
    "[,model=MODEL][,numa=CELLS][,linked][,count=N]"
)


def trace(words: Iterable[str], known: Mapping[str, RequestClass]) -> Trace:
    """Read values of ``--flavor`` as a trace without times.

    :param known: flavors of the fleet by name
    :raises UserError: if a value is invalid
    """
    return Trace([_task(word, known) for word in words])


def _task(word: str, known: Mapping[str, RequestClass]) -> Task:
    first, *rest = word.split(",")
    if first in known:
        values = _values(word, rest)
        count = values.pop("count", "1")
        if values:
            raise UserError(f"--flavor {word}: {first} is a flavor of the fleet; {_EXPECTED}")
        return Task(known[first], _number(word, "count", count))
    if "=" not in first and first != "linked":
        hint = did_you_mean(first, known, 3) or f"; {_EXPECTED}"
        raise UserError(f"--flavor {word}: the fleet has no flavor {first}{hint}")
    values = _values(word, [first, *rest])
    numa = int(_number(word, "numa", values.get("numa", "0")))
    pinned = int(_number(word, "pinned-cpus", values.get("pinned-cpus", "0")))
    if pinned and not numa:
        numa = 1  # as Nova does
    request_class = RequestClass(
        word,
        int(_number(word, "gpus", values.get("gpus", "0"))),
        values.get("model"),
        int(_number(word, "vcpus", values.get("vcpus", "0"))),
        pinned,
        int(_number(word, "ram-gib", values.get("ram-gib", "0"))) * 1024,
        0,
        numa,
        GpuLocality.LOCAL if numa else GpuLocality.ANY_NODE,
        "linked" in values,
    )
    return Task(request_class, _number(word, "count", values.get("count", "1")))


def _values(word: str, items: Iterable[str]) -> dict[str, str]:
    values: dict[str, str] = {}
    for item in items:
        key, equals, value = item.partition("=")
        right = key in _KEYS and equals and value if key != "linked" else not equals
        if not right or key in values:
            raise UserError(f"--flavor {word}: {item!r} is invalid; {_EXPECTED}")
        values[key] = value
    return values


def _number(word: str, key: str, text: str) -> float:
    most = _MOST.get(key, 1_000_000)
    whole = re.fullmatch("[0-9]{1,7}", text)
    if not whole or int(text) > most or (key == "count" and not int(text)):
        least = 1 if key == "count" else 0
        raise UserError(
            f"--flavor {word}: {key} is {text!r}, expected a whole number from {least} to {most}"
        )
    return float(text)
