# SPDX-License-Identifier: Apache-2.0
"""Count the servers that fit on a host by trying every way to place them one by one.

Written from the rules alone, without code of the package. GPUs are identified by their location:
``(cell or None, model, link)``.
"""

import itertools


def most_servers(state, request):
    """Return the largest number of servers that fit together."""
    return _most(*_plain(state), request, {})


def ways(state, request):
    """Return all (cells of the guest, GPUs by location) that one server may get."""
    return list(_ways(*_plain(state), request))


def _plain(state):
    gpus = {}
    for index, groups in [*enumerate(cell.gpus for cell in state.cells), (None, state.gpus)]:
        for group in groups:
            location = (index, group.model, group.link)
            gpus[location] = gpus.get(location, 0) + group.free
    cells = tuple((cell.shared_cpus, cell.pinned_cpus, cell.ram_mib) for cell in state.cells)
    host = (state.vcpus, state.ram_mib, state.disk_gib)
    return host, cells, tuple(sorted(gpus.items(), key=str))


def _most(host, cells, gpus, request, cache):
    key = host, cells, gpus
    if key not in cache:
        cache[key] = max(
            (
                1 + _most(*_after(host, cells, gpus, request, *way), request, cache)
                for way in _ways(host, cells, gpus, request)
            ),
            default=0,
        )
    return cache[key]


def _share(amount, request):
    return -(-amount // request.numa_cells)


def _ways(host, cells, gpus, request):
    if any(
        amount > free
        for amount, free in zip(
            (request.vcpus, request.ram_mib, request.disk_gib), host, strict=True
        )
    ):
        return
    if request.pinned_cpus and not request.numa_cells:
        return
    for guest in itertools.combinations(range(len(cells)), request.numa_cells):
        if any(
            _share(amount, request) > free
            for index in guest
            for amount, free in zip(
                (request.vcpus, request.pinned_cpus, request.ram_mib), cells[index], strict=True
            )
        ):
            continue
        for chosen in _sets(gpus, request.gpus):
            if _allowed(chosen, guest, request):
                yield guest, chosen


def _sets(gpus, count):
    """Yield every way to choose ``count`` GPUs: a number for each location."""
    numbers = [range(min(free, count) + 1) for _, free in gpus]
    for taken in itertools.product(*numbers):
        if sum(taken) == count:
            yield {location: n for (location, _), n in zip(gpus, taken, strict=True) if n}


def _allowed(chosen, guest, request):
    if any(request.model not in (None, model) for _, model, _ in chosen):
        return False
    links = {link for _, _, link in chosen}
    if request.linked and request.gpus > 1 and (len(links) > 1 or 0 in links):
        return False
    nodes = {cell for cell, _, _ in chosen}
    if request.gpu_locality == 0:
        return True
    if not request.numa_cells:
        return request.gpu_locality == 1 or (len(nodes) <= 1 and None not in nodes)
    allowed = set(guest) | ({None} if request.gpu_locality == 1 else set())
    return nodes <= allowed


def _after(host, cells, gpus, request, guest, chosen):
    amounts = (request.vcpus, request.ram_mib, request.disk_gib)
    return (
        tuple(free - amount for free, amount in zip(host, amounts, strict=True)),
        tuple(
            (
                shared - _share(request.vcpus, request),
                pinned - _share(request.pinned_cpus, request),
                ram - _share(request.ram_mib, request),
            )
            if index in guest
            else (shared, pinned, ram)
            for index, (shared, pinned, ram) in enumerate(cells)
        ),
        tuple((location, free - chosen.get(location, 0)) for location, free in gpus),
    )
