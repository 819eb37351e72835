# SPDX-License-Identifier: Apache-2.0
"""How a check declares itself: its function, and when it runs."""

import dataclasses
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from nova_gpu_passthrough.cloud.lint import other_fleet
from nova_gpu_passthrough.cloud.lint.facts import Facts
from nova_gpu_passthrough.inventory.findings import Finding

_CheckFunction = Callable[[Facts], Iterator[Finding]]


@dataclass(frozen=True)
class Check:
    """A function from the facts to findings; it reads no files and calls no service."""

    function: _CheckFunction
    #: Whether it applies only to fleets with passthrough hosts: others need no aliases and filters.
    passthrough: bool
    #: Whether drift runs it: it compares with the fleet file, rather than judging its content.
    drift: bool

    def __call__(self, facts: Facts) -> Iterator[Finding]:
        """Yield the findings of the check."""
        return self.function(facts)


def lint_check(
    *, passthrough: bool = False, drift: bool = True
) -> Callable[[_CheckFunction], Check]:
    """Declare a function as a check.

    :param passthrough: run it only if the fleet has hosts that pass GPUs through
    :param drift: run it for ``nova-gpu drift`` too
    """

    def declare(function: _CheckFunction) -> Check:
        return Check(function, passthrough, drift)

    return declare


def run(checks: Iterable[Check], facts: Facts) -> Iterator[Finding]:
    """Yield the findings of the checks that apply to the fleet.

    Configuration of another fleet is one finding, and is not compared.
    """
    other = other_fleet.find(facts)
    if other is not None:
        yield other
        facts = dataclasses.replace(facts, services=())
    for check in checks:
        if facts.offers or not check.passthrough:
            yield from check(facts)
