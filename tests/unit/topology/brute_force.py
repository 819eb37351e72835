# SPDX-License-Identifier: Apache-2.0
"""Device choice by trying every set; the fast search must agree with it.

Written from the rules alone, without code of the package.
"""

import itertools

from nova_gpu_passthrough.topology.model import Preference


def best_sets(gpus, rules, companions=()):
    """Return the smallest cost and all sets (positions in ``gpus``) that have it; None: no sets."""
    best, sets = None, []
    for chosen in itertools.combinations(range(len(gpus)), rules.count):
        if not allowed(gpus, rules, companions, chosen):
            continue
        this = cost(gpus, rules, companions, chosen)
        if best is None or this < best:
            best, sets = this, [chosen]
        elif this == best:
            sets.append(chosen)
    return (best, sets) if sets else None


def allowed(gpus, rules, companions, chosen):
    """Check whether a set meets the requirements."""
    selected = [gpus[i] for i in chosen]
    if rules.count > 1 and rules.link is Preference.REQUIRED:
        groups = {gpu.link_group[0] if gpu.link_group else None for gpu in selected}
        if len(groups) > 1 or None in groups:
            return False
    if rules.count > 1 and rules.switch is Preference.REQUIRED:
        switches = {gpu.switch for gpu in selected}
        if len(switches) > 1 or None in switches:
            return False
    return all(
        sum(companions[i][kind] for i in chosen) >= required
        for kind, required in enumerate(rules.companions)
    )


def cost(gpus, rules, companions, chosen):
    """Return the fields of ``Cost``, each computed from its description."""
    selected = [gpus[i] for i in chosen]
    left = [gpu for i, gpu in enumerate(gpus) if i not in chosen]
    nodes = {gpu.numa_node for gpu in selected}
    link = rules.link is not Preference.NONE
    depth = max(len(gpu.link_group) for gpu in gpus)
    return (
        0 if rules.numa_limit is None else max(0, len(nodes) - rules.numa_limit),
        _touched(selected, 1) - 1 if link else 0,
        len({gpu.model for gpu in selected}) - 1,
        len(nodes) + (None in nodes),
        0 if rules.switch is Preference.NONE else _distinct([gpu.switch for gpu in selected]),
        sum(_touched(selected, level) for level in range(2, depth + 1)) if link else 0,
        tuple(-_sets_of(size, gpus, left) for size in (16, 8, 4, 2)),
        0 if rules.companions or not companions else sum(any(companions[i]) for i in chosen),
    )


def _touched(gpus, level):
    """Count link groups (level 1) or partitions; a GPU without one counts as a separate one."""
    return _distinct(
        [gpu.link_group[:level] if len(gpu.link_group) >= level else None for gpu in gpus]
    )


def _distinct(names):
    known = [name for name in names if name is not None]
    return len(set(known)) + len(names) - len(known)


def _sets_of(size, gpus, left):
    """Count the whole sets of this size within a group, partition, switch or NUMA node."""
    blocks = {("node", gpu.numa_node) for gpu in gpus}
    blocks |= {("switch", gpu.switch) for gpu in gpus if gpu.switch}
    blocks |= {("link", p) for gpu in gpus for p in _paths(gpu)}
    return sum(sum(_in_block(gpu, block) for gpu in left) // size for block in blocks)


def _paths(gpu):
    return [gpu.link_group[:level] for level in range(1, len(gpu.link_group) + 1)]


def _in_block(gpu, block):
    kind, name = block
    if kind == "node":
        return gpu.numa_node == name
    return gpu.switch == name if kind == "switch" else name in _paths(gpu)
