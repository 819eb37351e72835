# SPDX-License-Identifier: Apache-2.0
"""Search for the best k of n GPUs by branch and bound.

GPUs that no rule distinguishes form a class; the search tries every number of GPUs of each class.
A branch is cut as soon as a lower bound of its cost exceeds the cost of the best complete set. The
bound of a field is computed only if the bounds of all fields before it equal those of the best set.
"""

import operator
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from nova_gpu_passthrough.topology.model import Preference

#: Sizes of sets of free GPUs that should be kept whole, the largest first.
SET_SIZES = (16, 8, 4, 2)
#: Search steps after which the best set so far is returned; a step takes about 10 microseconds.
#: Hosts with up to 16 GPUs need fewer, however irregular they are (a test counts them), so this
#: limits only larger hosts.
MAX_STEPS = 2500
#: The limit of further searches for a host once all searches together have made `MAX_STEPS`.
MIN_STEPS = 100
#: As many GPUs as `MAX_STEPS` is for. A step among more of them takes longer, and fewer are made.
_EXACT_GPUS = 16
#: How many equally good sets are kept for the random choice.
MAX_TIES = 32

#: Replaces a switch, link group or partition that no other free GPU has.
ALONE = -1
#: The NUMA node of a GPU whose node is unknown.
_UNKNOWN = 0


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


class Shape(NamedTuple):
    """The features of a GPU, with numbers for names, so that hosts of one shape are equal."""

    model: int
    #: 0 if the NUMA node is unknown.
    node: int
    switch: int
    partitions: tuple[int, ...]
    #: Free companions on the card, by companion request; if there is none, one entry: 0 or 1.
    companions: tuple[int, ...]
    #: Whether it may be chosen; if not, it counts only among the GPUs that remain free.
    eligible: bool


class Solution(NamedTuple):
    """The best sets and their cost."""

    #: None if no set meets the rules.
    cost: Cost | None
    #: Positions of the GPUs of each class.
    classes: tuple[tuple[int, ...], ...]
    #: Equally good sets, as numbers of GPUs of each class; empty if no set meets the rules.
    picks: tuple[tuple[int, ...], ...]
    steps: int


class SearchBudget:
    """The search steps that all searches for one host and request may make."""

    def __init__(self) -> None:
        self._left = MAX_STEPS

    @property
    def exhausted(self) -> bool:
        """Check whether no steps are left."""
        return self._left <= 0

    def spend(self, steps: int) -> None:
        """Count the steps of a search."""
        self._left -= steps


class _Grouping:
    """One way to divide the GPUs: by model, NUMA node, switch, or a level of link groups.

    A GPU that is ALONE is a separate block.
    """

    def __init__(self, block_of: Sequence[int], sizes: Sequence[int], most: Sequence[int]) -> None:
        """Divide the classes.

        :param block_of: by class
        :param sizes: numbers of GPUs by class
        :param most: how many of them may be chosen
        """
        self.block_of = block_of
        #: The free GPUs of each block that would remain with the GPUs taken so far.
        self.left: dict[int, int] = {}
        self.taken: dict[int, int] = {}
        for block, size in zip(block_of, sizes, strict=True):
            if block != ALONE:
                self.left[block] = self.left.get(block, 0) + size
                self.taken[block] = 0
        self.touched = 0
        self._most = most
        self._later: dict[int, tuple[list[tuple[int, int]], int]] = {}

    def later(self, index: int) -> tuple[list[tuple[int, int]], int]:
        """Return how many GPUs of a class and the later ones may be chosen.

        :returns: by block, the most first, and those that are alone
        """
        known = self._later.get(index)
        if known is None:
            counts: dict[int, int] = {}
            for block, most in zip(self.block_of[index:], self._most[index:], strict=True):
                if most:
                    counts[block] = counts.get(block, 0) + most
            alone = counts.pop(ALONE, 0)
            blocks = sorted(((count, block) for block, count in counts.items()), reverse=True)
            known = self._later[index] = blocks, alone
        return known

    def take(self, index: int, count: int) -> None:
        """Take GPUs of a class, or return them if the count is negative."""
        block = self.block_of[index]
        if block == ALONE:
            self.touched += count
            return
        before = self.taken[block]
        self.taken[block] = after = before + count
        self.left[block] -= count
        self.touched += (after > 0) - (before > 0)

    def least_touched(self, index: int, missing: int) -> int:
        """Return the least number of blocks that a set with ``missing`` more GPUs touches."""
        touched = self.touched
        if not missing:
            return touched
        taken = self.taken
        blocks, _alone = self.later(index)
        for count, block in blocks:
            if taken[block]:
                missing -= count
        if missing <= 0:
            return touched
        for count, block in blocks:
            if not taken[block]:
                touched += 1
                missing -= count
                if missing <= 0:
                    return touched
        return touched + missing

    def most_sets(self, index: int, missing: int, size: int) -> int:
        """Return the most sets of a size that can remain with ``missing`` more GPUs taken."""
        left = self.left
        sets = 0
        for free in left.values():
            sets += free // size
        if not missing or not sets:
            return sets
        blocks, alone = self.later(index)
        missing -= alone
        for count, block in blocks:
            # These GPUs belong to no whole set.
            odd = left[block] % size
            missing -= count if count < odd else odd
        return sets if missing <= 0 else sets - -(-missing // size)


class Search:
    """The search on one host for one request."""

    def __init__(
        self, shapes: Sequence[Shape], rules: ChoiceRules, max_steps: int = MAX_STEPS
    ) -> None:
        self.rules = rules
        self.steps = 0
        self._max_steps = max_steps * _EXACT_GPUS // max(_EXACT_GPUS, len(shapes))
        self.best: Cost | None = None
        self.ties: list[tuple[int, ...]] = []
        on_node = Counter(shape.node for shape in shapes)
        # Node by node, the largest first: a good set is found early, and more branches are cut.
        ordered = sorted(
            _classes(shapes).items(),
            key=lambda item: (-on_node[item[0].node], item[0].node, -len(item[1]), item[1]),
        )
        self.classes = tuple(shape for shape, _ in ordered)
        self.members = tuple(tuple(positions) for _, positions in ordered)
        sizes = [len(positions) for positions in self.members]
        self._most = most = [
            size if shape.eligible else 0 for size, shape in zip(sizes, self.classes, strict=True)
        ]
        indices = range(len(sizes) + 1)
        self._left_after = [sum(most[index:]) for index in indices]
        levels = range(len(shapes[0].partitions))
        self._models, self._nodes, self._switches, *self._levels = (
            _Grouping(block_of, sizes, most)
            for block_of in (
                [shape.model for shape in self.classes],
                [shape.node for shape in self.classes],
                [shape.switch for shape in self.classes],
                *([shape.partitions[level] for shape in self.classes] for level in levels),
            )
        )
        self._groupings = (self._models, self._nodes, self._switches, *self._levels)
        #: Those whose free sets count.
        self._kept = self._groupings[1:]
        self._wasted = [
            int(not rules.companions and any(shape.companions)) for shape in self.classes
        ]
        unwasted = [
            0 if wasted else number for wasted, number in zip(self._wasted, most, strict=True)
        ]
        self._unwasted_after = [sum(unwasted[index:]) for index in indices]
        #: By companion request and class: companions a GPU and GPUs, the most companions first.
        self._companions_after = [
            [
                sorted(
                    (
                        (shape.companions[kind], number)
                        for shape, number in zip(self.classes[index:], most[index:], strict=True)
                    ),
                    reverse=True,
                )
                for index in indices
            ]
            for kind in range(len(rules.companions))
        ]

    def run(self) -> Solution:
        """Return the best sets."""
        self._extend(0, self.rules.count, ())
        return Solution(self.best, self.members, tuple(self.ties), self.steps)

    def _extend(self, index: int, missing: int, taken: tuple[int, ...]) -> None:
        """Try every number of GPUs of class ``index``."""
        self.steps += 1
        if missing > self._left_after[index] or not self._promising(index, missing, taken):
            return
        if not missing:
            self._complete(taken + (0,) * (len(self.classes) - index))
            return
        if self.steps > self._max_steps:
            return
        for count in range(min(missing, self._most[index]), -1, -1):
            if count:
                for grouping in self._groupings:
                    grouping.take(index, count)
            self._extend(index + 1, missing - count, (*taken, count))
            if count:
                for grouping in self._groupings:
                    grouping.take(index, -count)

    def _promising(self, index: int, missing: int, taken: tuple[int, ...]) -> bool:
        """Check whether sets with ``missing`` more GPUs may meet the rules and equal the best."""
        rules = self.rules
        if rules.count > 1 and (
            (rules.link is Preference.REQUIRED and self._link_groups(index, missing) > 1)
            or (
                rules.switch is Preference.REQUIRED
                and self._switches.least_touched(index, missing) > 1
            )
        ):
            return False
        if rules.companions and not self._enough_companions(index, missing, taken):
            return False
        if self.best is None:
            return True
        for bound, best in zip(self._bounds(index, missing, taken), self.best, strict=True):
            if bound > best:
                return False
            if bound < best:
                return True
        return len(self.ties) < MAX_TIES

    def _complete(self, taken: tuple[int, ...]) -> None:
        """Keep a complete set, which is at least as good as the best one."""
        cost = Cost(*self._bounds(len(self.classes), 0, taken))
        if cost != self.best:
            self.best = cost
            self.ties = []
        self.ties.append(taken)

    def _bounds(self, index: int, missing: int, taken: tuple[int, ...]) -> Iterator[Any]:
        """Yield a lower bound of each field of the cost; if no GPU is missing, the field itself."""
        rules = self.rules
        nodes = self._nodes.least_touched(index, missing)
        yield 0 if rules.numa_limit is None else max(0, nodes - rules.numa_limit)
        by_link = rules.link is not Preference.NONE
        yield max(0, self._link_groups(index, missing) - 1) if by_link else 0
        yield self._models.least_touched(index, missing) - 1
        yield nodes + bool(self._nodes.taken.get(_UNKNOWN))
        by_switch = rules.switch is not Preference.NONE
        yield self._switches.least_touched(index, missing) if by_switch else 0
        levels = self._levels[1:] if by_link else ()
        yield sum(level.least_touched(index, missing) for level in levels)
        yield tuple(
            -sum(grouping.most_sets(index, missing, size) for grouping in self._kept)
            for size in SET_SIZES
        )
        wasted = sum(map(operator.mul, taken, self._wasted))
        yield wasted + max(0, missing - self._unwasted_after[index])

    def _link_groups(self, index: int, missing: int) -> int:
        # Without any link groups, every GPU is a separate group.
        levels = self._levels
        return levels[0].least_touched(index, missing) if levels else self.rules.count

    def _enough_companions(self, index: int, missing: int, taken: tuple[int, ...]) -> bool:
        """Check for each companion request alone whether the cards may have enough companions."""
        for kind, required in enumerate(self.rules.companions):
            for shape, count in zip(self.classes, taken, strict=False):
                required -= count * shape.companions[kind]
            if required <= 0:
                continue
            more = missing
            for companions, count in self._companions_after[kind][index]:
                required -= companions * min(count, more)
                more -= min(count, more)
            if required > 0:
                return False
        return True


def may_suffice(shapes: Sequence[Shape], rules: ChoiceRules) -> bool:
    """Check whether some link group and switch has enough GPUs and companions.

    The search would find out, too, but only after it has tried many sets.
    """
    by_link = rules.count > 1 and rules.link is Preference.REQUIRED
    by_switch = rules.count > 1 and rules.switch is Preference.REQUIRED
    blocks: dict[tuple[int, int], list[Shape]] = {}
    for shape in shapes:
        # With one block for all GPUs where the rules do not divide them.
        group = (shape.partitions or (ALONE,))[0] if by_link else 0
        switch = shape.switch if by_switch else 0
        if shape.eligible and ALONE not in (group, switch):
            blocks.setdefault((group, switch), []).append(shape)
    return any(
        len(members) >= rules.count
        and all(
            sum(sorted((shape.companions[kind] for shape in members), reverse=True)[: rules.count])
            >= required
            for kind, required in enumerate(rules.companions)
        )
        for members in blocks.values()
    )


def _classes(shapes: Sequence[Shape]) -> dict[Shape, list[int]]:
    """Return the positions of the GPUs of each class."""
    sizes = Counter(
        block
        for shape in shapes
        for block in {("switch", shape.switch), *enumerate(shape.partitions)}
    )
    classes: dict[Shape, list[int]] = {}
    for position, shape in enumerate(shapes):
        switch = shape.switch if sizes["switch", shape.switch] > 1 else ALONE
        partitions = tuple(
            partition if sizes[level, partition] > 1 else ALONE
            for level, partition in enumerate(shape.partitions)
        )
        alone = shape._replace(switch=switch, partitions=partitions)
        classes.setdefault(alone, []).append(position)
    return classes
