# SPDX-License-Identifier: Apache-2.0
"""The XML of a hwloc topology: objects, infos, matrices. Errors name file and line.

Declarations of entities are refused: hwloc writes none, and they could name files or grow without
end. The document type is not fetched.
"""

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple
from xml.parsers import expat

from nova_gpu_passthrough.errors import UserError
from nova_gpu_passthrough.host import saved

#: The topology of a machine with 4,096 processors has about 3 MiB.
MAX_BYTES = 16 * 2**20
_MAX_DEPTH = 256
#: More objects than any matrix has: its values are read one by one.
_MAX_MATRIX = 4096
_EXPECTED = "a topology exported by hwloc (lstopo host.xml)"
_ADDRESS = re.compile(r"([0-9a-f]{1,8}):([0-9a-f]{2}):([0-9a-f]{2})\.([0-7])", re.IGNORECASE)
#: Class, vendor and product, those of the subsystem, revision, and since hwloc 3 the programming
#: interface.
_TYPE = re.compile(
    r"([0-9a-f]{4}) \[([0-9a-f]{4}):([0-9a-f]{4})\]"
    r"(?: \[([0-9a-f]{4}):([0-9a-f]{4})\] [0-9a-f]{2}(?: ([0-9a-f]{2}))?)?",
    re.IGNORECASE,
)


class PciType(NamedTuple):
    """What ``pci_type`` holds: hex digits in lower case."""

    #: Six digits; the programming interface is 00 where hwloc before version 3 does not tell it.
    class_code: str
    vendor: str
    product: str
    subsystem_vendor: str | None
    subsystem_product: str | None


@dataclass(eq=False)
class Element:
    """An object of the topology."""

    type: str
    attributes: dict[str, str]
    line: int
    source: str
    parent: "Element | None" = None
    infos: dict[str, str] = field(default_factory=dict)

    def ancestors(self) -> Iterator["Element"]:
        """Objects above, the closest first."""
        above = self.parent
        while above is not None:
            yield above
            above = above.parent

    def number(self, name: str, default: int | None = None) -> int:
        """A decimal attribute.

        :raises UserError: if it is none, or missing without a default
        """
        text = self.attributes.get(name)
        if text is None and default is not None:
            return default
        if text is None or not re.fullmatch(r"[0-9]{1,19}", text):
            raise self.error(name, "a whole number")
        return int(text)

    def bits(self, name: str, everything: Collection[int] = ()) -> set[int]:
        """The numbers in an attribute that holds a bitmap, such as ``0x3,0x00000003``.

        :param everything: numbers to add for ``0xf...f``, which stands for all from some number on
        :raises UserError: if it is no bitmap
        """
        text = self.attributes.get(name, "0x0")
        infinite = text.startswith("0xf...f")
        words = text.split(",")[int(infinite) :]
        found: set[int] = set()
        for place, word in enumerate(reversed(words)):
            if not re.fullmatch(r"(0x[0-9a-fA-F]{1,8})?", word):
                raise self.error(name, "a bitmap such as 0x000000ff")
            value = int(word, 16) if word else 0
            found.update(32 * place + bit for bit in range(32) if value >> bit & 1)
        if infinite:
            found.update(number for number in everything if number >= 32 * len(words))
        return found

    def pci_address(self) -> str:
        """The address in ``pci_busid``.

        :raises UserError: if it is none
        """
        match = _ADDRESS.fullmatch(self.attributes.get("pci_busid", ""))
        if match is None:
            raise self.error("pci_busid", "a PCI address such as 0000:1b:00.0")
        return f"{int(match[1], 16):04x}:{match[2]}:{match[3]}.{match[4]}".lower()

    def pci_type(self) -> PciType:
        """The ids in ``pci_type``.

        :raises UserError: if they are none
        """
        match = _TYPE.match(self.attributes.get("pci_type", ""))
        if match is None:
            raise self.error("pci_type", "ids such as 0302 [10de:2330] [10de:16c1] a1")
        class_code, vendor, product, sub_vendor, sub_product, interface = (
            part.lower() if part else None for part in match.groups()
        )
        # hwloc writes zeros for what has no subsystem: bridges.
        told = (sub_vendor, sub_product) != ("0000", "0000")
        return PciType(
            f"{class_code}{interface or '00'}",
            vendor or "",
            product or "",
            sub_vendor if told else None,
            sub_product if told else None,
        )

    def error(self, name: str, expected: str) -> UserError:
        """What is wrong with an attribute."""
        value = self.attributes.get(name)
        found = f"is {value[:60]!r}" if value is not None else "is missing"
        return UserError(
            f"{self.source}:{self.line}: attribute {name} of {self.type} {found}, "
            f"expected {expected}; export the topology anew"
        )


@dataclass
class Matrix:
    """Distances or bandwidths between objects."""

    name: str
    #: Type of all objects, empty if they differ.
    type: str
    #: Sum of ``HWLOC_DISTANCES_KIND_*``.
    kind: int
    #: Whether ``indexes`` are the operating system's.
    by_os_index: bool
    line: int
    size: int
    indexes: list[str] = field(default_factory=list)
    values: list[int] = field(default_factory=list)

    def value(self, row: int, column: int) -> int:
        """From one object to another."""
        return self.values[row * len(self.indexes) + column]


@dataclass
class Topology:
    """Objects and matrices of one machine."""

    source: str
    elements: list[Element] = field(default_factory=list)
    matrices: list[Matrix] = field(default_factory=list)
    #: Of the whole machine.
    infos: dict[str, str] = field(default_factory=dict)

    def of_type(self, *types: str) -> Iterator[Element]:
        """Objects of these types in the order of the file."""
        return (element for element in self.elements if element.type in types)

    def address_of(self, index: str) -> str | None:
        """PCI address of what a matrix names, such as ``OSDev:802``; None if it has none."""
        number = index.rpartition(":")[2]
        element = self._by_number.get(number)
        while element is not None and element.type != "PCIDev":
            element = element.parent
        return element.pci_address() if element else None

    @property
    def _by_number(self) -> dict[str, Element]:
        if not self._numbers:
            self._numbers.update(
                (element.attributes["gp_index"], element)
                for element in self.elements
                if "gp_index" in element.attributes
            )
        return self._numbers

    _numbers: dict[str, Element] = field(default_factory=dict)


def read(path: Path) -> Topology:
    """Read an exported topology.

    :raises UserError: if the file cannot be read or is none
    """
    return parse(saved.read_bytes(path, MAX_BYTES), str(path))


def parse(data: bytes, source: str) -> Topology:
    """The topology in an XML document.

    :param source: the file's name, for messages
    :raises UserError: if it is none
    """
    reader = _Reader(source)
    try:
        reader.parser.Parse(data, True)
    except expat.ExpatError as error:
        raise UserError(
            f"{source}:{error.lineno}: {expat.errors.messages[error.code]}; expected {_EXPECTED}"
        ) from None
    except (LookupError, ValueError) as error:
        # An unknown or unusable encoding.
        raise UserError(f"{source}:1: {error}; expected {_EXPECTED}") from None
    return reader.result()


class _Reader:
    def __init__(self, source: str) -> None:
        self.topology = Topology(source)
        self.open: list[Element | None] = []
        self.text: list[str] = []
        self.matrix: Matrix | None = None
        self.parser = expat.ParserCreate()
        self.parser.buffer_text = True
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self.text.append
        self.parser.EntityDeclHandler = self._refuse

    def result(self) -> Topology:
        topology = self.topology
        if not any(topology.of_type("Machine", "System")):
            raise UserError(f"{topology.source}:1: no Machine in it; expected {_EXPECTED}")
        return topology

    def _refuse(self, *_: object) -> None:
        raise self._error("an entity is declared")

    def _error(self, problem: str) -> UserError:
        line = self.parser.CurrentLineNumber
        return UserError(f"{self.topology.source}:{line}: {problem}; expected {_EXPECTED}")

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        if not self.open and tag not in ("topology", "root"):
            raise self._error(f"the document is a {tag[:40]!r}")
        if len(self.open) >= _MAX_DEPTH:
            raise self._error(f"more than {_MAX_DEPTH} levels")
        parent = next((element for element in reversed(self.open) if element), None)
        element = None
        if tag == "object":
            element = Element(
                attributes.get("type", ""),
                attributes,
                self.parser.CurrentLineNumber,
                self.topology.source,
                parent,
            )
            self.topology.elements.append(element)
        elif tag == "info":
            self._info(parent, attributes)
        elif tag in ("distances2", "distances2hetero"):
            self._open_matrix(attributes)
        self.open.append(element)
        self.text.clear()

    def _end(self, tag: str) -> None:
        self.open.pop()
        matrix = self.matrix
        if matrix is None:
            return
        words = "".join(self.text).split()
        if tag == "indexes":
            matrix.indexes += words
        elif tag == "u64values":
            if not all(re.fullmatch(r"[0-9]{1,20}", word) for word in words):
                raise self._error("u64values are no whole numbers")
            matrix.values += map(int, words)
        elif tag in ("distances2", "distances2hetero"):
            self._close_matrix(matrix)

    def _info(self, parent: Element | None, attributes: dict[str, str]) -> None:
        name, value = attributes.get("name", ""), attributes.get("value", "")
        if parent is not None:
            parent.infos[name] = value
        # Since hwloc 3 infos of the machine follow after the objects, within the topology.
        if (parent is None and len(self.open) == 1) or (parent and parent.parent is None):
            self.topology.infos[name] = value

    def _open_matrix(self, attributes: dict[str, str]) -> None:
        try:
            kind, size = int(attributes.get("kind", "0")), int(attributes.get("nbobjs", "0"))
        except ValueError:
            raise self._error("kind or nbobjs of a matrix is no whole number") from None
        if not 0 <= size <= _MAX_MATRIX:
            raise self._error(f"nbobjs of a matrix is {size}")
        self.matrix = Matrix(
            attributes.get("name", ""),
            attributes.get("type", ""),
            kind,
            attributes.get("indexing") == "os",
            self.parser.CurrentLineNumber,
            size,
        )

    def _close_matrix(self, matrix: Matrix) -> None:
        size = matrix.size
        if len(matrix.indexes) != size or len(matrix.values) != size * size:
            raise self._error(
                f"the matrix of line {matrix.line} has {len(matrix.indexes)} indexes and "
                f"{len(matrix.values)} values, expected {size} and {size * size}"
            )
        if matrix.by_os_index and not all(re.fullmatch(r"[0-9]{1,9}", i) for i in matrix.indexes):
            raise self._error(f"indexes of the matrix of line {matrix.line} are no numbers")
        self.topology.matrices.append(matrix)
        self.matrix = None
