# SPDX-License-Identifier: Apache-2.0
"""Choose k of the n free GPUs of a host.

The best set has the smallest `Cost`, compared field by field in the order of importance
(``topology/search.py``). The result depends only on the shape of the host, so it is cached for all
hosts of the same shape.
"""

import functools
import random
from collections.abc import Collection, Sequence

from nova_gpu_passthrough.topology.model import FreeGpu
from nova_gpu_passthrough.topology.search import (
    ALONE,
    MAX_STEPS,
    MIN_STEPS,
    ChoiceRules,
    Cost,
    Search,
    SearchBudget,
    Shape,
    Solution,
    may_suffice,
)


def choose(
    gpus: Sequence[FreeGpu],
    rules: ChoiceRules,
    companions: Sequence[tuple[int, ...]] = (),
    rng: random.Random | None = None,
    eligible: Collection[FreeGpu] | None = None,
    budget: SearchBudget | None = None,
) -> tuple[tuple[FreeGpu, ...], Cost] | None:
    """Choose the best ``rules.count`` of ``gpus``.

    :param gpus: all free GPUs of the host, also those that may not be chosen
    :param companions: for each GPU, how many companions its card has, by companion request
    :param rng: chooses among equally good sets; without it the lowest addresses win
    :param eligible: those of ``gpus`` that may be chosen; None: all
    :param budget: pays the steps of the search; if it is exhausted, the first sets found are good
        enough
    :returns: the set in the order of addresses and its cost, or None if no set meets the rules
    """
    if not 0 < rules.count <= len(gpus if eligible is None else eligible):
        return None
    order = sorted(range(len(gpus)), key=lambda i: (gpus[i].address, gpus[i].provider or ""))
    shapes = _shapes(
        [gpus[i] for i in order], [companions[i] for i in order] if companions else (), eligible
    )
    budget = budget or SearchBudget()
    solution = _solve(shapes, rules, MIN_STEPS if budget.exhausted else MAX_STEPS)
    budget.spend(solution.steps)
    if solution.cost is None:
        return None
    pick = rng.choice(solution.picks) if rng else solution.picks[0]
    chosen: list[int] = []
    for members, taken in zip(solution.classes, pick, strict=True):
        chosen += rng.sample(members, taken) if rng and taken else members[:taken]
    return tuple(gpus[order[i]] for i in sorted(chosen)), solution.cost


def _shapes(
    gpus: Sequence[FreeGpu],
    companions: Sequence[tuple[int, ...]],
    eligible: Collection[FreeGpu] | None = None,
) -> tuple[Shape, ...]:
    """Return the shape of each GPU, with names numbered in the order of their appearance."""
    models: dict[str, int] = {}
    nodes: dict[int | None, int] = {None: 0}
    switches: dict[str, int] = {}
    prefixes: dict[tuple[str, ...], int] = {}
    depth = max((len(gpu.link_group) for gpu in gpus), default=0)
    shapes = []
    for index, gpu in enumerate(gpus):
        path = gpu.link_group
        shapes.append(
            Shape(
                models.setdefault(gpu.model, len(models)),
                nodes.setdefault(gpu.numa_node, len(nodes)),
                ALONE if gpu.switch is None else switches.setdefault(gpu.switch, len(switches)),
                tuple(
                    prefixes.setdefault(path[:level], len(prefixes))
                    if level <= len(path)
                    else ALONE
                    for level in range(1, depth + 1)
                ),
                companions[index] if companions else (),
                eligible is None or gpu in eligible,
            )
        )
    return tuple(shapes)


@functools.lru_cache(maxsize=4096)
def _solve(shapes: tuple[Shape, ...], rules: ChoiceRules, max_steps: int) -> Solution:
    if not may_suffice(shapes, rules):
        return Solution(None, (), (), 0)
    return Search(shapes, rules, max_steps).run()
