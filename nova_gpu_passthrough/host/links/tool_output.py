# SPDX-License-Identifier: Apache-2.0
"""Links between GPUs as a vendor's tool reports them, with the tool's own GPU indexes."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

#: A PCI address as nvidia-smi (domain of eight digits), amd-smi and lspci write it.
ADDRESS = r"[0-9A-Fa-f]{4,8}:[0-9A-Fa-f]{2}:[0-9A-Fa-f]{2}\.[0-7]"
#: The far end that nvidia-smi shows for a link to an NVSwitch that is no PCI function of this
#: machine (B200; virtual machines). Taken from recorded outputs of an HGX B200.
NO_DEVICE = "ffffffff:ff:ff.0"
_EMPTY: Mapping[Any, Any] = MappingProxyType({})


def address(text: str) -> str:
    """Return a PCI address as Linux writes it: lower case, a domain of at least four digits."""
    domain, _, rest = text.lower().partition(":")
    return f"{int(domain, 16):04x}:{rest}"


def address_with_domain(text: str) -> str:
    """Return a PCI address as Linux writes it; a missing domain becomes 0000."""
    return address(text if text.count(":") > 1 else f"0000:{text}")


@dataclass(frozen=True, slots=True)
class ToolOutput:
    """One saved output, or several outputs of one machine combined."""

    #: The names of the files.
    source: str
    #: PCI vendor id of the GPUs that the output describes.
    vendor_id: str
    #: Number of links of each joined pair of GPUs (lower index first), for all GPUs in
    #: ``matrix_gpus``; None without a matrix.
    joined: Mapping[tuple[int, int], int] | None = None
    #: Indexes of the GPUs in the matrix.
    matrix_gpus: frozenset[int] = frozenset()
    #: PCI addresses of GPUs by index.
    addresses: Mapping[int, str] = field(default_factory=lambda: _EMPTY)
    #: Module ids of GPUs by PCI address.
    modules: Mapping[str, int] = field(default_factory=lambda: _EMPTY)
    #: Whether each numbered link of a GPU is active, by GPU index; empty if all links of the GPU
    #: are inactive.
    links: Mapping[int, Mapping[int, bool]] = field(default_factory=lambda: _EMPTY)
    #: PCI addresses at the far ends of a GPU's links, by GPU index.
    remotes: Mapping[int, frozenset[str]] = field(default_factory=lambda: _EMPTY)
    #: Module ids of every partition of the fabric manager.
    partitions: tuple[frozenset[int], ...] = ()
    #: Serial numbers of GPUs by PCI address.
    serials: Mapping[str, str] = field(default_factory=lambda: _EMPTY)

    @property
    def indexes(self) -> frozenset[int]:
        """Indexes of the GPUs whose links the output describes."""
        return self.matrix_gpus | self.links.keys() | self.remotes.keys()


def combine(outputs: Iterable[ToolOutput]) -> tuple[ToolOutput, ...]:
    """Combine the outputs of one machine into one per vendor; later files override earlier ones."""
    by_vendor: dict[str, list[ToolOutput]] = {}
    for output in outputs:
        by_vendor.setdefault(output.vendor_id, []).append(output)
    return tuple(_merge(same_vendor) for same_vendor in by_vendor.values())


def _merge(outputs: list[ToolOutput]) -> ToolOutput:
    matrix = next((output for output in reversed(outputs) if output.joined is not None), outputs[0])
    return ToolOutput(
        ", ".join(dict.fromkeys(output.source for output in outputs)),
        outputs[0].vendor_id,
        matrix.joined,
        matrix.matrix_gpus,
        {index: bdf for output in outputs for index, bdf in output.addresses.items()},
        {bdf: module for output in outputs for bdf, module in output.modules.items()},
        {index: states for output in outputs for index, states in output.links.items()},
        {index: remotes for output in outputs for index, remotes in output.remotes.items()},
        next((output.partitions for output in reversed(outputs) if output.partitions), ()),
        {bdf: number for output in outputs for bdf, number in output.serials.items()},
    )


def plain_lines(text: str) -> list[str]:
    """Return the lines of a text without the escape sequences that nvidia-smi prints."""
    return re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", text).split("\n")
