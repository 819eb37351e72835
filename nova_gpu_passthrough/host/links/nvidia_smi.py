# SPDX-License-Identifier: Apache-2.0
"""Parse saved output of nvidia-smi: topo -m, nvlink -s, -R and -p, -q, --query-gpu, the overview.

One file may contain several outputs with other text between. NVIDIA documents none of the formats:
they are taken from recorded outputs of drivers from 2016 (369) to 2026 (595).

Indexes: "The order in which NVML enumerates devices has no guarantees of consistency between
reboots" (NVML, nvmlDeviceGetHandleByIndex); in practice it is the order of PCI addresses. -q
(which lists all GPUs in the order of their indexes), --query-gpu and the overview give addresses.
"""

import re

from nova_gpu_passthrough.host.links.link_matrix import LinkMatrix
from nova_gpu_passthrough.host.links.tool_output import ADDRESS, ToolOutput, address, plain_lines

VENDOR = "10de"

_GPU = re.compile(r"GPU(\d{1,4})")
#: A column name after the first GPU in a matrix's head: older drivers name NICs by their devices.
_COLUMN = re.compile(r"GPU\d{1,4}|NIC\d+|CPU|[a-z]\w+")
_NVLINKS = re.compile(r"NV(\d{1,3})")
#: Connections through PCI Express and processors; SOC and PSB are older names.
_PCIE_PATHS = frozenset(("PIX", "PXB", "PHB", "NODE", "SYS", "SOC", "PSB", "C2C", "N/A"))
#: Cells of ``topo -p2p``, whose table has the same shape.
_P2P = frozenset(("OK", "CNS", "GNS", "TNS", "NS", "DR", "U"))

_LINKS_OF = re.compile(r"\s*GPU (\d{1,4}): .*\(UUID: ")
_LINK = re.compile(rf"\s*Link (\d{{1,3}}): (?:(?:Remote Device )?({ADDRESS})|(.*\S))")
_ALL_INACTIVE = re.compile(r".*all links are in-?active", re.IGNORECASE)
_BLOCK = re.compile(rf"GPU ({ADDRESS})\s*$")
_ATTACHED = re.compile(r"Attached GPUs\s*:\s*(\d{1,4})\s*$")
_PRODUCT = re.compile(r"\s+Product Name\s*:")
_BUS_ID = re.compile(rf"\s+Bus Id\s*:\s*({ADDRESS})\s*$")
_MODULE = re.compile(r"\s+Module I[dD]\s*:\s*(\d{1,4})\s*$")
_SERIAL = re.compile(r"\s+Serial Number\s*:\s*(\S+)\s*$")
_OVERVIEW = re.compile(rf"\|\s+(\d{{1,4}})\s+\S.*\|\s+({ADDRESS})\s")


def parse(text: str, source: str) -> ToolOutput | None:
    """Return the links and addresses in a text; None if it is no output of nvidia-smi.

    :param source: the file's name, for messages
    :raises UserError: if a matrix is cut off or contradicts itself
    """
    parser = _NvidiaSmiParser(source)
    for number, line in enumerate(plain_lines(text), 1):
        parser.parse_line(number, line.rstrip())
    return parser.result()


class _NvidiaSmiParser:
    def __init__(self, source: str) -> None:
        self.source = source
        self.matrix: LinkMatrix | None = None
        self.complete_matrix: LinkMatrix | None = None
        self.gpu_index: int | None = None
        self.links: dict[int, dict[int, bool]] = {}
        self.remotes: dict[int, set[str]] = {}
        self.addresses: dict[int, str] = {}
        self.csv_columns: dict[str, int] | None = None
        self.query = _QueryParser()

    def parse_line(self, number: int, line: str) -> None:
        words = line.split()
        if words and _GPU.fullmatch(words[0]):
            self._matrix_line(number, words)
        elif match := _LINKS_OF.match(line):
            self.gpu_index = int(match[1])
        elif self.gpu_index is not None and (match := _LINK.match(line)):
            self._link(self.gpu_index, int(match[1]), match[2], match[3])
        elif self.gpu_index is not None and _ALL_INACTIVE.match(line):
            self.links.setdefault(self.gpu_index, {})
        elif match := _OVERVIEW.match(line):
            self.addresses[int(match[1])] = address(match[2])
        elif not self._csv_line(line):
            self.query.parse_line(line)

    def result(self) -> ToolOutput | None:
        matrix = self.complete_matrix or self.matrix
        joined = matrix_gpus = None
        if matrix is not None:
            indexes = [int(name[3:]) for name in matrix.columns]
            joined = {
                (min(pair), max(pair)): links
                for (a, b), links in matrix.pairs().items()
                for pair in [(indexes[a], indexes[b])]
            }
            matrix_gpus = frozenset(indexes)
        addresses = {**self.query.addresses(), **self.addresses}
        modules = self.query.modules
        if joined is None and not (self.links or self.remotes or addresses or modules):
            return None
        return ToolOutput(
            self.source,
            VENDOR,
            joined,
            matrix_gpus or frozenset(),
            addresses,
            modules,
            self.links,
            {index: frozenset(remotes) for index, remotes in self.remotes.items()},
            serials=self.query.serials,
        )

    def _matrix_line(self, number: int, words: list[str]) -> None:
        if len(words) == 1 or _COLUMN.fullmatch(words[1]):
            columns = [word for word in words if _GPU.fullmatch(word)]
            if words[: len(columns)] == columns:
                self.matrix = LinkMatrix(self.source, number, columns, "X", _parse_cell)
        elif self.matrix is not None:
            cells = words[1:]
            if _P2P.intersection(cells[: len(self.matrix.columns)]):
                self.matrix = None
                return
            self.matrix.add(number, words[0], cells)
            if self.matrix.is_complete:
                self.complete_matrix, self.matrix = self.matrix, None

    def _link(self, gpu: int, link: int, remote: str | None, state: str | None) -> None:
        if remote is not None:
            self.remotes.setdefault(gpu, set()).add(address(remote))
        elif state is not None and "inactive" in state.lower():
            self.links.setdefault(gpu, {})[link] = False
        elif state is not None and state.endswith("GB/s"):
            self.links.setdefault(gpu, {})[link] = True

    def _csv_line(self, line: str) -> bool:
        fields = [value.strip() for value in line.split(",")]
        if "index" in fields and ("pci.bus_id" in fields or "gpu_bus_id" in fields):
            self.csv_columns = {
                "bus": fields.index("pci.bus_id" if "pci.bus_id" in fields else "gpu_bus_id"),
                "index": fields.index("index"),
            }
            for column, name in enumerate(fields):
                if name.endswith("module_id"):
                    self.csv_columns["module"] = column
                elif name in ("serial", "gpu_serial"):
                    self.csv_columns["serial"] = column
            return True
        columns = self.csv_columns
        if columns is None:
            # Without a head (noheader) the index is first, and the address in any other column.
            buses = [i for i, value in enumerate(fields) if re.fullmatch(ADDRESS, value)]
            columns = {"index": 0, "bus": buses[0]} if buses else {}
        try:
            index, bus = fields[columns["index"]], fields[columns["bus"]]
        except (KeyError, IndexError):
            return False
        if len(fields) < 2 or not re.fullmatch(r"\d{1,4}", index):
            return False
        if not re.fullmatch(ADDRESS, bus):
            return False
        self.addresses[int(index)] = address(bus)
        if "module" in columns and len(fields) > columns["module"]:
            module = fields[columns["module"]]
            if re.fullmatch(r"\d{1,4}", module):
                self.query.modules[address(bus)] = int(module)
        if "serial" in columns and len(fields) > columns["serial"]:
            self.query.serials[address(bus)] = fields[columns["serial"]]
        return True


class _QueryParser:
    """Parser of ``nvidia-smi -q``, the whole output or lines selected with grep."""

    def __init__(self) -> None:
        self.modules: dict[str, int] = {}
        self.serials: dict[str, str] = {}
        self._attached: int | None = None
        self._addresses: dict[str, None] = {}
        self._address: str | None = None
        self._module: int | None = None
        self._serial: str | None = None
        self._has_product = False

    def parse_line(self, line: str) -> None:
        if match := _ATTACHED.match(line):
            self._attached = int(match[1])
        elif match := _BLOCK.match(line):
            self._start_gpu()
            self._address = address(match[1])
            self._addresses.setdefault(self._address)
        elif _PRODUCT.match(line):
            if self._has_product:
                self._start_gpu()
            self._has_product = True
        elif match := _BUS_ID.match(line):
            self._address = address(match[1])
        elif match := _MODULE.match(line):
            self._module = int(match[1])
        elif match := _SERIAL.match(line):
            self._serial = match[1]
        if self._address is not None and self._module is not None:
            self.modules[self._address] = self._module
        if self._address is not None and self._serial is not None:
            self.serials[self._address] = self._serial

    def addresses(self) -> dict[int, str]:
        """Return the addresses by index; empty unless every attached GPU is listed."""
        return dict(enumerate(self._addresses)) if len(self._addresses) == self._attached else {}

    def _start_gpu(self) -> None:
        self._address = self._module = self._serial = None
        self._has_product = False


def _parse_cell(cell: str) -> int:
    if match := _NVLINKS.fullmatch(cell):
        return int(match[1])
    if cell in _PCIE_PATHS:
        return 0
    raise ValueError(cell)
