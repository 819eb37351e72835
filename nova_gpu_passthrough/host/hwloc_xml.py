# SPDX-License-Identifier: Apache-2.0
"""Parse the XML of an hwloc topology: objects, infos, matrices. Errors name file and line.

Entity declarations are rejected: hwloc writes none, and they could name files or expand without
limit. The document type is not fetched.
"""

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple
from xml.parsers import expat

from nova_gpu_passthrough.errors import UserError
from nova_gpu_passthrough.files import reading

#: The topology of a machine with 4,096 processors has about 3 MiB.
MAX_BYTES = 16 * 2**20
_MAX_DEPTH = 256
#: Larger than any matrix; rejected, since a matrix takes quadratic memory.
_MAX_MATRIX = 4096
_EXPECTED = "a topology exported by hwloc (lstopo host.xml)"
_ADDRESS = re.compile(r"([0-9a-f]{1,8}):([0-9a-f]{2}):([0-9a-f]{2})\.([0-7])", re.IGNORECASE)
#: Class, vendor and product, subsystem vendor and product, revision, and since hwloc 3 the
#: programming interface.
_TYPE = re.compile(
    r"([0-9a-f]{4}) \[([0-9a-f]{4}):([0-9a-f]{4})\]"
    r"(?: \[([0-9a-f]{4}):([0-9a-f]{4})\] [0-9a-f]{2}(?: ([0-9a-f]{2}))?)?",
    re.IGNORECASE,
)


class PciType(NamedTuple):
    """The ids in the attribute ``pci_type``, as hex digits in lower case."""

    #: Six digits; the programming interface is 00 in exports of hwloc before version 3.
    class_code: str
    vendor: str
    product: str
    subsystem_vendor: str | None
    subsystem_product: str | None


@dataclass(eq=False)
class HwlocObject:
    """An object of the topology."""

    type: str
    attributes: dict[str, str]
    line: int
    source: str
    parent: "HwlocObject | None" = None
    infos: dict[str, str] = field(default_factory=dict)

    def ancestors(self) -> Iterator["HwlocObject"]:
        """Return the objects above, the closest first."""
        above = self.parent
        while above is not None:
            yield above
            above = above.parent

    def number(self, name: str, default: int | None = None) -> int:
        """Return the value of a decimal attribute.

        :raises UserError: if it is no number, or is missing and there is no default
        """
        text = self.attributes.get(name)
        if text is None and default is not None:
            return default
        if text is None or not re.fullmatch(r"[0-9]{1,19}", text):
            raise self.error(name, "a whole number")
        return int(text)

    def bits(self, name: str, everything: Collection[int] = ()) -> set[int]:
        """Return the numbers in a bitmap attribute such as ``0x3,0x00000003``.

        :param everything: all numbers that ``0xf...f`` (all bits from some number on) may add
        :raises UserError: if it is no bitmap
        """
        text = self.attributes.get(name, "0x0")
        infinite = text.startswith("0xf...f")
        words = text.split(",")[int(infinite) :]
        numbers: set[int] = set()
        for position, word in enumerate(reversed(words)):
            if not re.fullmatch(r"(0x[0-9a-fA-F]{1,8})?", word):
                raise self.error(name, "a bitmap such as 0x000000ff")
            value = int(word, 16) if word else 0
            numbers.update(32 * position + bit for bit in range(32) if value >> bit & 1)
        if infinite:
            numbers.update(number for number in everything if number >= 32 * len(words))
        return numbers

    def pci_address(self) -> str:
        """Return the address in ``pci_busid``.

        :raises UserError: if it is no PCI address
        """
        match = _ADDRESS.fullmatch(self.attributes.get("pci_busid", ""))
        if match is None:
            raise self.error("pci_busid", "a PCI address such as 0000:1b:00.0")
        return f"{int(match[1], 16):04x}:{match[2]}:{match[3]}.{match[4]}".lower()

    def pci_type(self) -> PciType:
        """Return the ids in ``pci_type``.

        :raises UserError: if the attribute has another form
        """
        match = _TYPE.match(self.attributes.get("pci_type", ""))
        if match is None:
            raise self.error("pci_type", "ids such as 0302 [10de:2330] [10de:16c1] a1")
        class_code, vendor, product, sub_vendor, sub_product, interface = (
            digits.lower() if digits else None for digits in match.groups()
        )
        # hwloc writes zeros for functions without subsystem, such as bridges.
        has_subsystem = (sub_vendor, sub_product) != ("0000", "0000")
        return PciType(
            f"{class_code}{interface or '00'}",
            vendor or "",
            product or "",
            sub_vendor if has_subsystem else None,
            sub_product if has_subsystem else None,
        )

    def error(self, name: str, expected: str) -> UserError:
        """Return the error about an invalid attribute."""
        value = self.attributes.get(name)
        actual = f"is {value[:60]!r}" if value is not None else "is missing"
        return UserError(
            f"{self.source}:{self.line}: attribute {name} of {self.type} {actual}, "
            f"expected {expected}; export the topology again"
        )


@dataclass
class DistanceMatrix:
    """Distances or bandwidths between objects."""

    name: str
    #: Type of the objects; empty if they have different types.
    type: str
    #: Sum of ``HWLOC_DISTANCES_KIND_*``.
    kind: int
    #: Whether ``indexes`` are the operating system's numbers.
    by_os_index: bool
    line: int
    size: int
    indexes: list[str] = field(default_factory=list)
    values: list[int] = field(default_factory=list)

    def value(self, row: int, column: int) -> int:
        """Return the value from one object to another."""
        return self.values[row * len(self.indexes) + column]


@dataclass
class HwlocTopology:
    """The objects and matrices of one machine."""

    source: str
    elements: list[HwlocObject] = field(default_factory=list)
    matrices: list[DistanceMatrix] = field(default_factory=list)
    #: Infos about the whole machine.
    infos: dict[str, str] = field(default_factory=dict)

    def of_type(self, *types: str) -> Iterator[HwlocObject]:
        """Return the objects of these types in the order of the file."""
        return (element for element in self.elements if element.type in types)

    def address_of(self, index: str) -> str | None:
        """Return the PCI address of a matrix's object such as ``OSDev:802``; None without one."""
        number = index.rpartition(":")[2]
        element = self._by_gp_index.get(number)
        while element is not None and element.type != "PCIDev":
            element = element.parent
        return element.pci_address() if element else None

    @property
    def _by_gp_index(self) -> dict[str, HwlocObject]:
        if not self._gp_indexes:
            self._gp_indexes.update(
                (element.attributes["gp_index"], element)
                for element in self.elements
                if "gp_index" in element.attributes
            )
        return self._gp_indexes

    _gp_indexes: dict[str, HwlocObject] = field(default_factory=dict)


def read(path: Path) -> HwlocTopology:
    """Read an exported topology.

    :raises UserError: if the file cannot be read or is no topology
    """
    return parse(reading.read_bytes(path, MAX_BYTES), str(path))


def parse(data: bytes, source: str) -> HwlocTopology:
    """Return the topology in an XML document.

    :param source: the file's name, for messages
    :raises UserError: if it is no topology
    """
    parser = _TopologyParser(source)
    try:
        parser.expat.Parse(data, True)
    except expat.ExpatError as error:
        raise UserError(
            f"{source}:{error.lineno}: {expat.errors.messages[error.code]}; expected {_EXPECTED}"
        ) from None
    except (LookupError, ValueError) as error:
        # An unknown or unusable encoding.
        raise UserError(f"{source}:1: {error}; expected {_EXPECTED}") from None
    return parser.result()


class _TopologyParser:
    def __init__(self, source: str) -> None:
        self.topology = HwlocTopology(source)
        self.open_objects: list[HwlocObject | None] = []
        self.text: list[str] = []
        self.matrix: DistanceMatrix | None = None
        self.expat = expat.ParserCreate()
        self.expat.buffer_text = True
        self.expat.StartElementHandler = self._start
        self.expat.EndElementHandler = self._end
        self.expat.CharacterDataHandler = self.text.append
        self.expat.EntityDeclHandler = self._reject_entity

    def result(self) -> HwlocTopology:
        topology = self.topology
        if not any(topology.of_type("Machine", "System")):
            raise UserError(f"{topology.source}:1: contains no Machine; expected {_EXPECTED}")
        return topology

    def _reject_entity(self, *_: object) -> None:
        raise self._error("declares an entity")

    def _error(self, problem: str) -> UserError:
        line = self.expat.CurrentLineNumber
        return UserError(f"{self.topology.source}:{line}: {problem}; expected {_EXPECTED}")

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        if not self.open_objects and tag not in ("topology", "root"):
            raise self._error(f"the document is a {tag[:40]!r}")
        if len(self.open_objects) >= _MAX_DEPTH:
            raise self._error(f"more than {_MAX_DEPTH} levels")
        parent = next((element for element in reversed(self.open_objects) if element), None)
        element = None
        if tag == "object":
            element = HwlocObject(
                attributes.get("type", ""),
                attributes,
                self.expat.CurrentLineNumber,
                self.topology.source,
                parent,
            )
            self.topology.elements.append(element)
        elif tag == "info":
            self._info(parent, attributes)
        elif tag in ("distances2", "distances2hetero"):
            self._open_matrix(attributes)
        self.open_objects.append(element)
        self.text.clear()

    def _end(self, tag: str) -> None:
        self.open_objects.pop()
        matrix = self.matrix
        if matrix is None:
            return
        words = "".join(self.text).split()
        if tag == "indexes":
            matrix.indexes += words
        elif tag == "u64values":
            if not all(re.fullmatch(r"[0-9]{1,20}", word) for word in words):
                raise self._error("u64values are not whole numbers")
            matrix.values += map(int, words)
        elif tag in ("distances2", "distances2hetero"):
            self._close_matrix(matrix)

    def _info(self, parent: HwlocObject | None, attributes: dict[str, str]) -> None:
        name, value = attributes.get("name", ""), attributes.get("value", "")
        if parent is not None:
            parent.infos[name] = value
        # Since hwloc 3 infos of the machine follow after the objects, within the topology.
        if (parent is None and len(self.open_objects) == 1) or (parent and parent.parent is None):
            self.topology.infos[name] = value

    def _open_matrix(self, attributes: dict[str, str]) -> None:
        try:
            kind, size = int(attributes.get("kind", "0")), int(attributes.get("nbobjs", "0"))
        except ValueError:
            raise self._error("kind or nbobjs of a matrix is not a whole number") from None
        if not 0 <= size <= _MAX_MATRIX:
            raise self._error(f"nbobjs of a matrix is {size}")
        self.matrix = DistanceMatrix(
            attributes.get("name", ""),
            attributes.get("type", ""),
            kind,
            attributes.get("indexing") == "os",
            self.expat.CurrentLineNumber,
            size,
        )

    def _close_matrix(self, matrix: DistanceMatrix) -> None:
        size = matrix.size
        if len(matrix.indexes) != size or len(matrix.values) != size * size:
            raise self._error(
                f"the matrix of line {matrix.line} has {len(matrix.indexes)} indexes and "
                f"{len(matrix.values)} values, expected {size} and {size * size}"
            )
        if matrix.by_os_index and not all(re.fullmatch(r"[0-9]{1,9}", i) for i in matrix.indexes):
            raise self._error(f"indexes of the matrix of line {matrix.line} are not numbers")
        self.topology.matrices.append(matrix)
        self.matrix = None
