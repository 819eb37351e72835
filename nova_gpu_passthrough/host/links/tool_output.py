# SPDX-License-Identifier: Apache-2.0
"""What a saved output says of links between GPUs, in the tool's own numbers."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

#: A PCI address as nvidia-smi (domain of eight digits), amd-smi and lspci write it.
ADDRESS = r"[0-9A-Fa-f]{4,8}:[0-9A-Fa-f]{2}:[0-9A-Fa-f]{2}\.[0-7]"
#: What nvidia-smi shows for the far end of a link to an NVSwitch that is no PCI function of this
#: machine (B200; virtual machines). Seen in recorded outputs of an HGX B200.
NO_DEVICE = "ffffffff:ff:ff.0"
_NOTHING: Mapping[Any, Any] = MappingProxyType({})


def address(text: str) -> str:
    """A PCI address as Linux writes it: lower case, a domain of four digits or more."""
    domain, _, rest = text.lower().partition(":")
    return f"{int(domain, 16):04x}:{rest}"


def short_addresses(text: str) -> str:
    """A PCI address in which the domain may be left out."""
    return address(text if text.count(":") > 1 else f"0000:{text}")


@dataclass(frozen=True, slots=True)
class LinkText:
    """One saved output, or several of one machine together."""

    #: The files.
    source: str
    #: PCI vendor id of the GPUs that it is about.
    vendor_id: str
    #: Pairs of GPUs (lower index first) that are joined, and by how many links, of all GPUs in
    #: ``seen``; None without a matrix.
    joined: Mapping[tuple[int, int], int] | None = None
    #: The GPUs of the matrix, by index.
    seen: frozenset[int] = frozenset()
    #: PCI addresses of GPUs by index.
    addresses: Mapping[int, str] = field(default_factory=lambda: _NOTHING)
    #: Module ids of GPUs by PCI address.
    modules: Mapping[str, int] = field(default_factory=lambda: _NOTHING)
    #: Whether a link is active, by its number, by GPU index; empty if all of a GPU's are inactive.
    links: Mapping[int, Mapping[int, bool]] = field(default_factory=lambda: _NOTHING)
    #: PCI addresses at the far ends of a GPU's links, by GPU index.
    remotes: Mapping[int, frozenset[str]] = field(default_factory=lambda: _NOTHING)
    #: Module ids of every partition of the fabric manager.
    partitions: tuple[frozenset[int], ...] = ()

    @property
    def indexes(self) -> frozenset[int]:
        """The GPUs that it tells of, by index."""
        return self.seen | self.links.keys() | self.remotes.keys()


def combine(texts: Iterable[LinkText]) -> tuple[LinkText, ...]:
    """Outputs of one machine, one for each vendor; what a later file says wins."""
    by_vendor: dict[str, list[LinkText]] = {}
    for text in texts:
        by_vendor.setdefault(text.vendor_id, []).append(text)
    return tuple(_merge(several) for several in by_vendor.values())


def _merge(texts: list[LinkText]) -> LinkText:
    matrix = next((text for text in reversed(texts) if text.joined is not None), texts[0])
    return LinkText(
        ", ".join(dict.fromkeys(text.source for text in texts)),
        texts[0].vendor_id,
        matrix.joined,
        matrix.seen,
        {i: a for text in texts for i, a in text.addresses.items()},
        {a: m for text in texts for a, m in text.modules.items()},
        {i: states for text in texts for i, states in text.links.items()},
        {i: remotes for text in texts for i, remotes in text.remotes.items()},
        next((text.partitions for text in reversed(texts) if text.partitions), ()),
    )


def plain_lines(text: str) -> list[str]:
    """Lines without the escape sequences that nvidia-smi underlines the matrix's head with."""
    return re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", text).split("\n")
