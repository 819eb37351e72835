# SPDX-License-Identifier: Apache-2.0
"""Reading CSV files."""

import pytest

from nova_gpu_passthrough.errors import UserError
from nova_gpu_passthrough.simulator import csv_table


@pytest.fixture
def read(tmp_path):
    def read(text):
        path = tmp_path / "t.csv"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return list(csv_table.read(path, "a list", ("a", "b")))

    return read


def test_cells_by_column_and_line(read):
    first, second = read("\ufeffa,c,b\n1,x,2.5\n\n 3 ,y,\n")
    assert (first.line, first.whole("a"), first.text("c"), first.number("b")) == (2, 1, "x", 2.5)
    assert (second.line, second.whole("a"), second.number("b")) == (4, 3, None)
    assert second.text("d") == ""


@pytest.mark.parametrize(
    "text, expected",
    [
        ("", "is empty; expected a list in CSV"),
        (
            "a,c\n1,2\n",
            "t.csv:1: there is no column b; expected a list in CSV with the columns a,b",
        ),
        ("a,b\n1\n", "t.csv:2: column b is missing; expected 2 cells"),
        ('a,b\n"1,2\n', "expected a list in CSV"),
        (b"a,b\n\xff,1\n", "not valid UTF-8"),
    ],
)
def test_invalid_files_are_refused(read, text, expected):
    with pytest.raises(UserError, match=expected):
        read(text)


@pytest.mark.parametrize("text", ["", "-1", "1.5", "x", "\u0663", "9" * 20])
def test_invalid_whole_numbers_are_refused(read, text):
    (row,) = read(f"a,b\n{text},1\n")
    with pytest.raises(UserError, match=r"t\.csv:2: column a: '.*', expected a whole number"):
        row.whole("a")


@pytest.mark.parametrize("text", ["-1", "x", "nan", "inf", "1e20"])
def test_invalid_numbers_are_refused(read, text):
    (row,) = read(f"a,b\n{text},1\n")
    with pytest.raises(UserError, match="column a: .*expected a number"):
        row.number("a")


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"none\.csv: No such file"):
        list(csv_table.read(tmp_path / "none.csv", "a list", ()))
