# SPDX-License-Identifier: Apache-2.0
"""Parse and format the extra spec ``pci_passthrough:alias``: PCI aliases and numbers of devices.

Restates two rules of Nova: the pattern of ``EXTRA_SPEC_VALIDATORS`` in
nova/api/validation/extra_specs/pci_passthrough.py, which the API applies when a flavor is changed
(from microversion 2.86), and ``_translate_alias_to_requests`` in nova/pci/request.py, which reads
the value when a server is created.
"""

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

#: The flavor's extra spec.
EXTRA_SPEC = "pci_passthrough:alias"
#: The pattern of Nova's API; ``\d`` matches decimal digits of any script.
_PATTERN = re.compile(r"[^:]+:\d+(?:\s*,\s*[^:]+:\d+)*")


class InvalidAliasStringError(ValueError):
    """Nova refuses the value; the message says what is wrong with it."""


class AliasCount(NamedTuple):
    """One alias of a flavor, with the number of requested devices."""

    #: Name of the alias, without surrounding white space.
    name: str
    #: Number of devices; Nova accepts 0, which requests none.
    devices: int


def read(extra_specs: Mapping[str, str]) -> tuple[AliasCount, ...]:
    """Return the aliases that a flavor requests, in its order; none without the extra spec.

    :raises InvalidAliasStringError: as `parse`
    """
    text = extra_specs.get(EXTRA_SPEC)
    return () if text is None else parse(text)


def to_text(requests: Iterable[tuple[str, int]]) -> str:
    """Return the value for pairs of alias and number of devices."""
    return ",".join(f"{name}:{devices}" for name, devices in requests)


def parse(text: str) -> tuple[AliasCount, ...]:
    """Parse the value of ``pci_passthrough:alias``.

    An alias that is named twice makes two requests.

    :param text: such as ``gpu:2,nic:1``
    :raises InvalidAliasStringError: if Nova refuses the value
    """
    requests = []
    for part in text.split(","):
        name, *counts = part.split(":")
        if len(counts) != 1 or not name.strip() or not re.fullmatch(r"\s*\d+\s*", counts[0]):
            raise InvalidAliasStringError(f"{part.strip()!r} is not <alias>:<count>")
        requests.append(AliasCount(name.strip(), int(counts[0])))
    if not _PATTERN.fullmatch(text):
        raise InvalidAliasStringError(f"{text!r} has white space that Nova's API refuses")
    return tuple(requests)
