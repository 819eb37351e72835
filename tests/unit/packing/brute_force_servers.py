# SPDX-License-Identifier: Apache-2.0
"""How many servers fit on a host, by placing them one by one in every way there is.

Written from the rules alone; it shares no code with the package. GPUs are told apart by place:
``(cell or None, model, link)``.
"""

import itertools


def most_servers(state, wanted):
    """The most servers that fit beside each other."""
    return _most(*_plain(state), wanted, {})


def ways(state, wanted):
    """All (cells of the guest, GPUs by place) that one server may get."""
    return list(_ways(*_plain(state), wanted))


def _plain(state):
    gpus = {}
    for index, groups in [*enumerate(cell.gpus for cell in state.cells), (None, state.gpus)]:
        for group in groups:
            place = (index, group.model, group.link)
            gpus[place] = gpus.get(place, 0) + group.free
    cells = tuple((cell.shared_cpus, cell.pinned_cpus, cell.ram_mib) for cell in state.cells)
    host = (state.vcpus, state.ram_mib, state.disk_gib)
    return host, cells, tuple(sorted(gpus.items(), key=str))


def _most(host, cells, gpus, wanted, memory):
    key = host, cells, gpus
    if key not in memory:
        memory[key] = max(
            (
                1 + _most(*_after(host, cells, gpus, wanted, *way), wanted, memory)
                for way in _ways(host, cells, gpus, wanted)
            ),
            default=0,
        )
    return memory[key]


def _share(amount, wanted):
    return -(-amount // wanted.numa_cells)


def _ways(host, cells, gpus, wanted):
    if any(
        need > free
        for need, free in zip((wanted.vcpus, wanted.ram_mib, wanted.disk_gib), host, strict=True)
    ):
        return
    if wanted.pinned_cpus and not wanted.numa_cells:
        return
    for guest in itertools.combinations(range(len(cells)), wanted.numa_cells):
        if any(
            _share(need, wanted) > free
            for index in guest
            for need, free in zip(
                (wanted.vcpus, wanted.pinned_cpus, wanted.ram_mib), cells[index], strict=True
            )
        ):
            continue
        for chosen in _sets(gpus, wanted.gpus):
            if _may(chosen, guest, wanted):
                yield guest, chosen


def _sets(gpus, count):
    """Every way of taking so many GPUs: a number for each place."""
    numbers = [range(min(free, count) + 1) for _, free in gpus]
    for taken in itertools.product(*numbers):
        if sum(taken) == count:
            yield {place: n for (place, _), n in zip(gpus, taken, strict=True) if n}


def _may(chosen, guest, wanted):
    if any(wanted.model not in (None, model) for _, model, _ in chosen):
        return False
    links = {link for _, _, link in chosen}
    if wanted.linked and wanted.gpus > 1 and (len(links) > 1 or 0 in links):
        return False
    nodes = {cell for cell, _, _ in chosen}
    if wanted.reach == 0:
        return True
    if not wanted.numa_cells:
        return wanted.reach == 1 or (len(nodes) <= 1 and None not in nodes)
    allowed = set(guest) | ({None} if wanted.reach == 1 else set())
    return nodes <= allowed


def _after(host, cells, gpus, wanted, guest, chosen):
    needs = (wanted.vcpus, wanted.ram_mib, wanted.disk_gib)
    return (
        tuple(free - need for free, need in zip(host, needs, strict=True)),
        tuple(
            (
                shared - _share(wanted.vcpus, wanted),
                pinned - _share(wanted.pinned_cpus, wanted),
                ram - _share(wanted.ram_mib, wanted),
            )
            if index in guest
            else (shared, pinned, ram)
            for index, (shared, pinned, ram) in enumerate(cells)
        ),
        tuple((place, free - chosen.get(place, 0)) for place, free in gpus),
    )
