# SPDX-License-Identifier: Apache-2.0
"""Names of PCI functions from the pci.ids files of the distribution.

The format is documented in the header of the file (https://pci-ids.ucw.cz/). Several packages
install one, and distributions keep old ones for years, so the one with the newest date in its
header is used.
"""

import functools
import re
from collections.abc import Iterable

#: Locations used by distributions and by pciutils' update-pciids.
PATHS = (
    "/usr/share/misc/pci.ids",
    "/usr/share/hwdata/pci.ids",
    "/usr/share/pci.ids",
    "/var/lib/pciutils/pci.ids",
)
_VERSION = re.compile(r"^#\s*Version:\s*(\S+)", re.MULTILINE)


class PciIds:
    """The names in the newest of several pci.ids files.

    :param texts: the contents of the existing files
    """

    def __init__(self, texts: Iterable[str]) -> None:
        self._text = max(texts, key=version, default="")
        # Cached, since hosts have many functions with the same ids.
        self.name = functools.cache(self._name)

    def _name(self, vendor_id: str, product_id: str) -> str | None:
        """Return the name of a function, or None if the file has none."""
        start = self._text.find(f"\n{vendor_id}  ")
        if start < 0:
            return None
        # A vendor's section ends at the next line that is neither indented nor a comment.
        end = re.compile(r"\n(?![\t#\r\n])").search(self._text, start + 1)
        section = self._text[start : end.start() if end else len(self._text)]
        match = re.search(rf"\n\t{product_id}  ([^\n]*)", section)
        return match[1].strip() or None if match else None


def version(text: str) -> str:
    """Return the date in the header of a pci.ids file, such as 2026.06.20; empty if missing."""
    match = _VERSION.search(text[:4096])
    return match[1] if match else ""
