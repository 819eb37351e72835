# SPDX-License-Identifier: Apache-2.0
"""Saved outputs of nvidia-smi: topo -m, nvlink -s, -R and -p, -q, --query-gpu, and the overview.

One file may hold several of them, with other text between. NVIDIA documents none of the formats:
they are those of recorded outputs of drivers from 2016 (369) to 2026 (595).

Indexes: "The order in which NVML enumerates devices has no guarantees of consistency between
reboots" (NVML, nvmlDeviceGetHandleByIndex); in practice it is that of PCI addresses. So -q (which
lists all GPUs in the order of their indexes), --query-gpu and the overview are read for addresses.
"""

import re

from nova_gpu_passthrough.host.links.matrix import Matrix
from nova_gpu_passthrough.host.links.tool_output import ADDRESS, LinkText, address, plain_lines

VENDOR = "10de"

_GPU = re.compile(r"GPU(\d{1,4})")
#: What may follow after the first GPU in a matrix's head: NICs have been named by their devices.
_HEAD = re.compile(r"GPU\d{1,4}|NIC\d+|CPU|[a-z]\w+")
_NVLINKS = re.compile(r"NV(\d{1,3})")
#: Connections through PCI Express and processors; SOC and PSB are older names.
_PATHS = frozenset(("PIX", "PXB", "PHB", "NODE", "SYS", "SOC", "PSB", "C2C", "N/A"))
#: Cells of ``topo -p2p``, whose table looks the same.
_P2P = frozenset(("OK", "CNS", "GNS", "TNS", "NS", "DR", "U"))

_LINKS_OF = re.compile(r"\s*GPU (\d{1,4}): .*\(UUID: ")
_LINK = re.compile(rf"\s*Link (\d{{1,3}}): (?:(?:Remote Device )?({ADDRESS})|(.*\S))")
_ALL_INACTIVE = re.compile(r".*all links are in-?active", re.IGNORECASE)
_BLOCK = re.compile(rf"GPU ({ADDRESS})\s*$")
_ATTACHED = re.compile(r"Attached GPUs\s*:\s*(\d{1,4})\s*$")
_PRODUCT = re.compile(r"\s+Product Name\s*:")
_BUS_ID = re.compile(rf"\s+Bus Id\s*:\s*({ADDRESS})\s*$")
_MODULE = re.compile(r"\s+Module I[dD]\s*:\s*(\d{1,4})\s*$")
_OVERVIEW = re.compile(rf"\|\s+(\d{{1,4}})\s+\S.*\|\s+({ADDRESS})\s")


def parse(text: str, source: str) -> LinkText | None:
    """What a text says of links and addresses; None if it holds nothing of nvidia-smi's.

    :param source: the file's name, for messages
    :raises UserError: if a matrix is cut off or contradicts itself
    """
    reader = _Reader(source)
    for number, line in enumerate(plain_lines(text), 1):
        reader.take(number, line.rstrip())
    return reader.result()


class _Reader:
    def __init__(self, source: str) -> None:
        self.source = source
        self.matrix: Matrix | None = None
        self.full: Matrix | None = None
        self.current: int | None = None
        self.links: dict[int, dict[int, bool]] = {}
        self.remotes: dict[int, set[str]] = {}
        self.addresses: dict[int, str] = {}
        self.csv: dict[str, int] | None = None
        self.query = _Query()

    def take(self, number: int, line: str) -> None:
        words = line.split()
        if words and _GPU.fullmatch(words[0]):
            self._matrix_line(number, words)
        elif match := _LINKS_OF.match(line):
            self.current = int(match[1])
        elif self.current is not None and (match := _LINK.match(line)):
            self._link(self.current, int(match[1]), match[2], match[3])
        elif self.current is not None and _ALL_INACTIVE.match(line):
            self.links.setdefault(self.current, {})
        elif match := _OVERVIEW.match(line):
            self.addresses[int(match[1])] = address(match[2])
        elif not self._csv_line(line):
            self.query.take(line)

    def result(self) -> LinkText | None:
        matrix = self.full or self.matrix
        joined = seen = None
        if matrix is not None:
            indexes = [int(name[3:]) for name in matrix.columns]
            joined = {
                (min(pair), max(pair)): links
                for (a, b), links in matrix.pairs().items()
                for pair in [(indexes[a], indexes[b])]
            }
            seen = frozenset(indexes)
        addresses = {**self.query.addresses(), **self.addresses}
        modules = self.query.modules
        if joined is None and not (self.links or self.remotes or addresses or modules):
            return None
        return LinkText(
            self.source,
            VENDOR,
            joined,
            seen or frozenset(),
            addresses,
            modules,
            self.links,
            {index: frozenset(remotes) for index, remotes in self.remotes.items()},
        )

    def _matrix_line(self, number: int, words: list[str]) -> None:
        if len(words) == 1 or _HEAD.fullmatch(words[1]):
            columns = [word for word in words if _GPU.fullmatch(word)]
            if words[: len(columns)] == columns:
                self.matrix = Matrix(self.source, number, columns, "X", _links)
        elif self.matrix is not None:
            cells = words[1:]
            if _P2P.intersection(cells[: len(self.matrix.columns)]):
                self.matrix = None
                return
            self.matrix.add(number, words[0], cells)
            if self.matrix.is_complete:
                self.full, self.matrix = self.matrix, None

    def _link(self, gpu: int, link: int, remote: str | None, state: str | None) -> None:
        if remote is not None:
            self.remotes.setdefault(gpu, set()).add(address(remote))
        elif state is not None and "inactive" in state.lower():
            self.links.setdefault(gpu, {})[link] = False
        elif state is not None and state.endswith("GB/s"):
            self.links.setdefault(gpu, {})[link] = True

    def _csv_line(self, line: str) -> bool:
        fields = [part.strip() for part in line.split(",")]
        if "index" in fields and ("pci.bus_id" in fields or "gpu_bus_id" in fields):
            self.csv = {
                "bus": fields.index("pci.bus_id" if "pci.bus_id" in fields else "gpu_bus_id"),
                "index": fields.index("index"),
            }
            for place, name in enumerate(fields):
                if name.endswith("module_id"):
                    self.csv["module"] = place
            return True
        places = self.csv
        if places is None:
            # Without a head (noheader): the index first, an address somewhere.
            found = [i for i, part in enumerate(fields) if re.fullmatch(ADDRESS, part)]
            places = {"index": 0, "bus": found[0]} if found else {}
        try:
            index, bus = fields[places["index"]], fields[places["bus"]]
        except (KeyError, IndexError):
            return False
        if len(fields) < 2 or not re.fullmatch(r"\d{1,4}", index):
            return False
        if not re.fullmatch(ADDRESS, bus):
            return False
        self.addresses[int(index)] = address(bus)
        if "module" in places and len(fields) > places["module"]:
            module = fields[places["module"]]
            if re.fullmatch(r"\d{1,4}", module):
                self.query.modules[address(bus)] = int(module)
        return True


class _Query:
    """``nvidia-smi -q``, whole or what grep left of it."""

    def __init__(self) -> None:
        self.modules: dict[str, int] = {}
        self._attached: int | None = None
        self._order: dict[str, None] = {}
        self._address: str | None = None
        self._module: int | None = None
        self._named = False

    def take(self, line: str) -> None:
        if match := _ATTACHED.match(line):
            self._attached = int(match[1])
        elif match := _BLOCK.match(line):
            self._next()
            self._address = address(match[1])
            self._order.setdefault(self._address)
        elif _PRODUCT.match(line):
            if self._named:
                self._next()
            self._named = True
        elif match := _BUS_ID.match(line):
            self._address = address(match[1])
        elif match := _MODULE.match(line):
            self._module = int(match[1])
        if self._address is not None and self._module is not None:
            self.modules[self._address] = self._module

    def addresses(self) -> dict[int, str]:
        """Addresses by index, if every GPU is there."""
        return dict(enumerate(self._order)) if len(self._order) == self._attached else {}

    def _next(self) -> None:
        self._address = self._module = None
        self._named = False


def _links(cell: str) -> int:
    if match := _NVLINKS.fullmatch(cell):
        return int(match[1])
    if cell in _PATHS:
        return 0
    raise ValueError(cell)
