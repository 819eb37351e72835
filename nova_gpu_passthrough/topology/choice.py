# SPDX-License-Identifier: Apache-2.0
"""Choose k of the n free GPUs of a host.

The best set has the smallest `Cost`, compared field by field in the order of importance. The
search is exact: GPUs that no rule distinguishes form a class, every number of GPUs of each class is
tried, and a branch is cut as soon as its cost exceeds the best complete one (all fields but the
last two can only grow as GPUs are added). The result depends only on the shape of the host, so it
is cached for all hosts of the same shape.
"""

import functools
import random
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from nova_gpu_passthrough.topology.model import FreeGpu, Preference

#: Sizes of sets of free GPUs that should be kept whole, the largest first.
SET_SIZES = (16, 8, 4, 2)
#: Search steps after which the best set so far is returned. The least regular host with 16 GPUs
#: needs fewer (a test counts them), so this limits only larger hosts.
MAX_STEPS = 200_000
#: How many equally good sets are kept for the random choice.
MAX_TIES = 32

#: Replaces a switch, link group or partition that no other free GPU has.
_ALONE = -1


class Cost(NamedTuple):
    """The cost of a set of GPUs; the smaller the better, compared field by field."""

    #: NUMA nodes in excess of the guest's cells, if the policy is ``preferred``.
    numa_excess: int
    #: Link groups beyond the first.
    link_splits: int
    #: GPU models beyond the first.
    model_splits: int
    #: NUMA nodes; an unknown node counts twice.
    numa_nodes: int
    switches: int
    #: Partitions of link groups touched, over all levels.
    partitions: int
    #: Negated numbers of sets of 16, 8, 4 and 2 that remain free within one link group, partition,
    #: switch or NUMA node.
    sets_left: tuple[int, ...]
    #: GPUs with free companions, if the server does not request companions.
    companions_wasted: int

    @property
    def of_server(self) -> tuple[int, ...]:
        """Return what matters to the server itself."""
        return self[:6]

    @property
    def of_others(self) -> tuple[object, ...]:
        """Return what matters to other servers: what remains free for them."""
        return self[6:]


@dataclass(frozen=True, slots=True)
class ChoiceRules:
    """The part of a request that the search needs."""

    count: int
    link: Preference = Preference.PREFERRED
    switch: Preference = Preference.PREFERRED
    #: Number of NUMA nodes above which `Cost.numa_excess` counts; None: no limit.
    numa_limit: int | None = None
    #: How many companions the cards of the set must have in total, by companion request.
    companions: tuple[int, ...] = ()


class _Shape(NamedTuple):
    """The features of a GPU, with numbers for names, so that hosts of one shape are equal."""

    model: int
    node: int
    switch: int
    partitions: tuple[int, ...]
    #: Free companions on the card, by companion request; if there is none, one entry: 0 or 1.
    companions: tuple[int, ...]
    #: Whether it may be chosen; if not, it counts only among the GPUs that remain free.
    eligible: bool


class _Solution(NamedTuple):
    cost: Cost
    classes: tuple[tuple[int, ...], ...]
    #: Equally good sets, as numbers of GPUs of each class.
    picks: tuple[tuple[int, ...], ...]


def choose(
    gpus: Sequence[FreeGpu],
    rules: ChoiceRules,
    companions: Sequence[tuple[int, ...]] = (),
    rng: random.Random | None = None,
    eligible: Collection[FreeGpu] | None = None,
) -> tuple[tuple[FreeGpu, ...], Cost] | None:
    """Choose the best ``rules.count`` of ``gpus``.

    :param gpus: all free GPUs of the host, also those that may not be chosen
    :param companions: for each GPU, how many companions its card has, by companion request
    :param rng: chooses among equally good sets; without it the lowest addresses win
    :param eligible: those of ``gpus`` that may be chosen; None: all
    :returns: the set in the order of addresses and its cost, or None if no set meets the rules
    """
    if not 0 < rules.count <= len(gpus):
        return None
    order = sorted(range(len(gpus)), key=lambda i: (gpus[i].address, gpus[i].provider or ""))
    if any(
        sum(
            companions[i][kind] for i, gpu in enumerate(gpus) if eligible is None or gpu in eligible
        )
        < required
        for kind, required in enumerate(rules.companions)
    ):
        # Checked here, since the search detects it only on complete sets and would cut no branch.
        return None
    shapes = _shapes(
        [gpus[i] for i in order], [companions[i] for i in order] if companions else (), eligible
    )
    solution = _solve(shapes, rules)
    if solution is None:
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
) -> tuple[_Shape, ...]:
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
            _Shape(
                models.setdefault(gpu.model, len(models)),
                nodes.setdefault(gpu.numa_node, len(nodes)),
                _ALONE if gpu.switch is None else switches.setdefault(gpu.switch, len(switches)),
                tuple(
                    prefixes.setdefault(path[:level], len(prefixes))
                    if level <= len(path)
                    else _ALONE
                    for level in range(1, depth + 1)
                ),
                companions[index] if companions else (),
                eligible is None or gpu in eligible,
            )
        )
    return tuple(shapes)


@functools.lru_cache(maxsize=4096)
def _solve(shapes: tuple[_Shape, ...], rules: ChoiceRules) -> _Solution | None:
    return _Search(shapes, rules).run()


class _Search:
    """A branch-and-bound search over the number of GPUs of each class."""

    def __init__(self, shapes: tuple[_Shape, ...], rules: ChoiceRules) -> None:
        self.rules = rules
        self.steps = 0
        self.depth = len(shapes[0].partitions)
        self.best: Cost | None = None
        self.ties: list[tuple[int, ...]] = []
        self._classify(shapes)

    def _classify(self, shapes: tuple[_Shape, ...]) -> None:
        """Group GPUs that no rule distinguishes, and record the blocks of each class."""
        sizes: dict[tuple[str, int], int] = {}
        for shape in shapes:
            for block in _blocks(shape):
                sizes[block] = sizes.get(block, 0) + 1
        classes: dict[_Shape, list[int]] = {}
        for index, shape in enumerate(shapes):
            alone = _Shape(
                shape.model,
                shape.node,
                shape.switch if sizes.get(("switch", shape.switch), 0) > 1 else _ALONE,
                tuple(p if sizes.get(("link", p), 0) > 1 else _ALONE for p in shape.partitions),
                shape.companions,
                shape.eligible,
            )
            classes.setdefault(alone, []).append(index)
        # Largest classes first: a good set is found early, and more branches are cut.
        ordered = sorted(classes.items(), key=lambda item: (-len(item[1]), item[1]))
        self.classes = tuple(shape for shape, _ in ordered)
        self.members = tuple(tuple(indices) for _, indices in ordered)
        self.left_after = [0] * (len(ordered) + 1)
        for index in range(len(ordered) - 1, -1, -1):
            members = len(self.members[index]) if self.classes[index].eligible else 0
            self.left_after[index] = self.left_after[index + 1] + members
        shared = [block for block, size in sizes.items() if size > 1]
        numbers = {block: number for number, block in enumerate(shared)}
        self.block_sizes = [sizes[block] for block in numbers]
        self.blocks_of = [
            [numbers[block] for block in _blocks(shape) if block in numbers]
            for shape in self.classes
        ]

    def run(self) -> _Solution | None:
        self._extend(0, self.rules.count, (), 0, 0, 0, 0, (0,) * self.depth, (0,) * self.depth)
        if self.best is None:
            return None
        return _Solution(self.best, self.members, tuple(self.ties))

    def _extend(
        self,
        index: int,
        missing: int,
        taken: tuple[int, ...],
        models: int,
        nodes: int,
        switches: int,
        lone_switches: int,
        partitions: tuple[int, ...],
        lone_partitions: tuple[int, ...],
    ) -> None:
        """Try every number of GPUs of class ``index``; nodes and so on are bit masks."""
        self.steps += 1
        bound = self._bound(models, nodes, switches, lone_switches, partitions, lone_partitions)
        if bound is None or (self.best is not None and bound > self.best[: len(bound)]):
            return
        if not missing:
            self._complete(bound, taken + (0,) * (len(self.classes) - index))
            return
        if missing > self.left_after[index] or self.steps > MAX_STEPS:
            return
        shape = self.classes[index]
        most = min(missing, len(self.members[index])) if shape.eligible else 0
        for take in range(most, -1, -1):
            if not take:
                self._extend(
                    index + 1,
                    missing,
                    (*taken, 0),
                    models,
                    nodes,
                    switches,
                    lone_switches,
                    partitions,
                    lone_partitions,
                )
                continue
            alone = shape.switch == _ALONE
            self._extend(
                index + 1,
                missing - take,
                (*taken, take),
                models | 1 << shape.model,
                nodes | 1 << shape.node,
                switches if alone else switches | 1 << shape.switch,
                lone_switches + take if alone else lone_switches,
                tuple(
                    mask if p == _ALONE else mask | 1 << p
                    for mask, p in zip(partitions, shape.partitions, strict=True)
                ),
                tuple(
                    lone + take if p == _ALONE else lone
                    for lone, p in zip(lone_partitions, shape.partitions, strict=True)
                ),
            )

    def _bound(
        self,
        models: int,
        nodes: int,
        switches: int,
        lone_switches: int,
        partitions: tuple[int, ...],
        lone_partitions: tuple[int, ...],
    ) -> tuple[int, int, int, int, int, int] | None:
        """Return the fields of the cost that only grow; None if a requirement is not met."""
        rules = self.rules
        node_count = nodes.bit_count()
        switch_count = switches.bit_count() + lone_switches
        if rules.switch is Preference.REQUIRED and rules.count > 1 and switch_count > 1:
            return None
        levels = [
            mask.bit_count() + lone for mask, lone in zip(partitions, lone_partitions, strict=True)
        ]
        # Without any link groups, every GPU is a separate group.
        groups = levels[0] if levels else rules.count
        if rules.link is Preference.REQUIRED and rules.count > 1 and groups > 1:
            return None
        limit = rules.numa_limit
        by_link = rules.link is not Preference.NONE
        return (
            0 if limit is None else max(0, node_count - limit),
            max(0, groups - 1) if by_link else 0,
            max(0, models.bit_count() - 1),
            node_count + (nodes & 1),
            switch_count if rules.switch is not Preference.NONE else 0,
            sum(levels[1:]) if by_link else 0,
        )

    def _complete(self, bound: tuple[int, int, int, int, int, int], taken: tuple[int, ...]) -> None:
        """Compute the cost of a complete set, and keep it if none is better."""
        wasted = 0
        if self.rules.companions:
            for kind, required in enumerate(self.rules.companions):
                offered = sum(
                    take * shape.companions[kind]
                    for shape, take in zip(self.classes, taken, strict=True)
                )
                if offered < required:
                    return
        else:
            wasted = sum(
                take
                for shape, take in zip(self.classes, taken, strict=True)
                if take and any(shape.companions)
            )
        left = list(self.block_sizes)
        for blocks, take in zip(self.blocks_of, taken, strict=True):
            for block in blocks:
                left[block] -= take
        sets_left = tuple(-sum(free // size for free in left) for size in SET_SIZES)
        cost = Cost(*bound, sets_left, wasted)
        if self.best is None or cost < self.best:
            self.best = cost
            self.ties = [taken]
        elif cost == self.best and len(self.ties) < MAX_TIES:
            self.ties.append(taken)


def _blocks(shape: _Shape) -> list[tuple[str, int]]:
    """Return the blocks that a GPU is part of: its NUMA node, switch, link group and partitions."""
    blocks = [("node", shape.node)]
    if shape.switch != _ALONE:
        blocks.append(("switch", shape.switch))
    blocks += [("link", p) for p in shape.partitions if p != _ALONE]
    return blocks
