# SPDX-License-Identifier: Apache-2.0
"""Names from the newest of several pci.ids files."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nova_gpu_passthrough.catalog.pci_ids import PciIds, version

TEXT = """#
#\tList of PCI ID's
#
#\tVersion: 2026.06.20
#\tDate:    2026-06-20 03:15:02
#
# Syntax:
# vendor  vendor_name
#\tdevice  device_name\t\t\t\t<-- single tab

0010  Allied Telesis, Inc
# This is a relabelled RTL-8139
\t8139  AT-2500TX V3 Ethernet
10de  NVIDIA Corporation
\t1eb8  TU104GL [Tesla T4]
\t\t10de 12a2  Tesla T4
# a comment inside

\t2330  GH100 [H100 SXM5 80GB]
\t\t10de 16c1  2331  a subsystem
\t\t2331 0001  not a device
\t26b9  AD102GL [L40S]
1da3  Habana Labs Ltd.
\t1020  Gaudi2
ffff  Illegal Vendor ID


# List of known device classes, subclasses and programming interfaces

C 00  Unclassified device
\t00  Non-VGA unclassified device
C 03  Display controller
\t00  VGA compatible controller
\t\t00  VGA controller
\t\t2339  never
"""


@pytest.mark.parametrize(
    ("vendor", "product", "name"),
    [
        ("10de", "1eb8", "TU104GL [Tesla T4]"),
        ("10de", "2330", "GH100 [H100 SXM5 80GB]"),
        ("10de", "26b9", "AD102GL [L40S]"),
        ("0010", "8139", "AT-2500TX V3 Ethernet"),
        ("1da3", "1020", "Gaudi2"),
        # Ids of another vendor, of subsystems, of a class, and unknown ones.
        ("10de", "1020", None),
        ("10de", "16c1", None),
        ("10de", "2331", None),
        ("10de", "2339", None),
        ("ffff", "0000", None),
        ("C 03", "0000", None),
        ("abcd", "1234", None),
    ],
)
def test_names(vendor, product, name):
    assert PciIds([TEXT]).name(vendor, product) == name


def test_the_last_vendor_of_a_file_without_classes():
    text = "# Version: 2026.06.20\n1da3  Habana\n\t1020  Gaudi2"
    assert PciIds([text]).name("1da3", "1020") == "Gaudi2"


def test_line_ends_of_windows():
    assert PciIds([TEXT.replace("\n", "\r\n")]).name("10de", "26b9") == "AD102GL [L40S]"


def test_the_newest_file_is_used_in_any_order():
    old = "# Version: 2023.04.11\n10de  NVIDIA\n\t2330  old\n\t1111  old only\n"
    undated = "10de  NVIDIA\n\t2330  none\n"
    for texts in ([old, TEXT, undated], [undated, TEXT, old], [TEXT, undated, old]):
        names = PciIds(texts)
        assert names.name("10de", "2330") == "GH100 [H100 SXM5 80GB]"
        assert names.name("10de", "1111") is None
    assert PciIds([undated, old]).name("10de", "2330") == "old"


def test_without_a_file_there_are_no_names():
    assert PciIds([]).name("10de", "2330") is None
    assert PciIds([""]).name("10de", "2330") is None


def test_a_name_may_be_empty():
    assert PciIds(["#\n10de  NVIDIA\n\t2330  \n"]).name("10de", "2330") is None


@pytest.mark.parametrize(
    ("text", "date"),
    [
        (TEXT, "2026.06.20"),
        ("# Version: 2023.04.11\n", "2023.04.11"),
        ("Version: 2023.04.11\n", ""),
        ("", ""),
        ("#\n" * 5000 + "# Version: 2026.06.20\n", ""),
    ],
)
def test_versions(text, date):
    assert version(text) == date


@given(st.text("0123456789abcdefC \t\n#", max_size=300), st.sampled_from(["10de", "0000"]))
def test_any_text_is_searched(text, vendor):
    name = PciIds([text]).name(vendor, "2330")
    assert name is None or re.search(rf"^\t2330  +\s*{re.escape(name)}", text, re.MULTILINE)
