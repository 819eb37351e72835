# SPDX-License-Identifier: Apache-2.0
"""Parse and format lists of CPUs as the kernel and Nova write them, such as ``0-27,56-83``."""

from collections.abc import Iterable

#: More CPUs than any machine has, so that a corrupt list cannot fill the memory.
_MAX_CPU = 16384


def parse(text: str) -> tuple[int, ...]:
    """Return the CPUs of a list in ascending order.

    :raises ValueError: if the text is not a list of CPUs
    """
    cpus: set[int] = set()
    for part in filter(None, text.split(",")):
        first, dash, last = part.partition("-")
        low, high = int(first), int(last if dash else first)
        if not 0 <= low <= high < _MAX_CPU:
            raise ValueError(text)
        cpus.update(range(low, high + 1))
    return tuple(sorted(cpus))


def to_text(cpus: Iterable[int]) -> str:
    """Return the list of these CPUs, with ranges."""
    ranges: list[list[int]] = []
    for cpu in sorted(cpus):
        if ranges and ranges[-1][1] == cpu - 1:
            ranges[-1][1] = cpu
        else:
            ranges.append([cpu, cpu])
    return ",".join(f"{a}" if a == b else f"{a}-{b}" for a, b in ranges)
