# SPDX-License-Identifier: Apache-2.0
"""Reading files that are missing, unreadable or of another kind, and the notes about them."""

import errno
import os
import socket

import pytest

from nova_gpu_passthrough.errors import UserError
from nova_gpu_passthrough.host.root import MAX_BYTES, Root


@pytest.fixture
def tree(tmp_path):
    (tmp_path / "tree" / "sys").mkdir(parents=True)
    return tmp_path / "tree"


def _notes(root):
    return {finding.source: finding.found for finding in root.findings()}


def test_a_file_is_read_without_surrounding_blanks(tree):
    (tree / "sys/value").write_text("  12 \n\0")
    root = Root(tree)
    assert root.text("/sys/value") == "12"
    assert root.number("/sys/value") == 12
    assert root.exists("/sys/value")
    assert not root.findings()


def test_an_empty_file_is_not_a_missing_file(tree):
    (tree / "sys/value").touch()
    root = Root(tree)
    assert root.text("/sys/value") == ""
    assert root.data("/sys/value") == b""
    assert root.number("/sys/value") is None
    assert _notes(root) == {"/sys/value": "/sys/value contains '', expected a whole number"}


@pytest.mark.parametrize("path", ["/sys/none", "/none/none", "/sys/file/none"])
def test_a_missing_file_leaves_no_note(tree, path):
    (tree / "sys/file").touch()
    root = Root(tree)
    assert root.text(path) is None
    assert root.data(path) is None
    assert root.number(path) is None
    assert root.names(path) == []
    assert root.link_name(path) is None
    assert root.resolve(path) is None
    assert not root.exists(path)
    assert not root.findings()


@pytest.mark.parametrize("name", ["sys", "missing"])
def test_a_root_without_sys_is_rejected(tmp_path, name):
    (tmp_path / "sys").touch()
    with pytest.raises(UserError, match="contains no directory sys"):
        Root(tmp_path if name == "sys" else tmp_path / name)


def test_a_directory_instead_of_a_file(tree):
    (tree / "sys/value").mkdir()
    root = Root(tree)
    assert root.text("/sys/value") is None
    assert _notes(root) == {"/sys/value": "/sys/value cannot be read (Is a directory)"}


def test_a_file_instead_of_a_directory(tree):
    (tree / "sys/folder").touch()
    root = Root(tree)
    assert root.names("/sys/folder") == []
    assert root.text("/sys/folder/value") is None


def test_links_in_a_circle(tree):
    (tree / "sys/a").symlink_to("b")
    (tree / "sys/b").symlink_to("a")
    root = Root(tree)
    assert root.text("/sys/a") is None
    assert root.resolve("/sys/b") is None
    assert root.names("/sys/a/x") == []
    assert not root.exists("/sys/a")
    assert root.link_name("/sys/a") == "b"
    assert set(_notes(root)) == {"/sys/a", "/sys/b", "/sys/a/x"}


def test_a_pipe_is_not_waited_for(tree):
    os.mkfifo(tree / "sys/value")
    root = Root(tree)
    assert root.text("/sys/value") == ""


def test_a_socket_is_not_read(tree, monkeypatch):
    # A socket's path must be short.
    monkeypatch.chdir(tree / "sys")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("value")
        assert Root(tree).text("/sys/value") is None


def test_a_huge_file_is_read_in_part(tree):
    with (tree / "sys/value").open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    assert len(Root(tree).data("/sys/value")) == MAX_BYTES
    assert len(Root(tree).data("/sys/value", 64)) == 64


def test_bytes_that_are_not_text_are_replaced(tree):
    (tree / "sys/value").write_bytes(b"a\xff\xfe\x1b[31mb\x00c\x9b")
    text = Root(tree).text("/sys/value")
    assert text.isprintable()
    assert text.startswith("a")
    assert text.encode()


def test_lines_and_tabs_are_kept(tree):
    (tree / "sys/value").write_text("a\tb\nc\n")
    assert Root(tree).text("/sys/value") == "a\tb\nc"


@pytest.mark.parametrize("text", ["0x10", "1.5", "-", "9" * 5000, str(2**64)])
def test_an_invalid_number_leaves_a_note(tree, text):
    (tree / "sys/value").write_text(text)
    root = Root(tree)
    assert root.number("/sys/value") is None
    assert "expected a whole number" in _notes(root)["/sys/value"]
    assert len(_notes(root)["/sys/value"]) < 150


def test_a_negative_number_is_read(tree):
    (tree / "sys/value").write_text("-1\n")
    assert Root(tree).number("/sys/value") == -1


def test_a_null_byte_in_a_path(tree):
    root = Root(tree)
    assert root.text("/sys/a\0b") is None
    assert root.names("/sys/a\0b") == []
    assert root.resolve("/sys/a\0b") is None
    assert root.link_name("/sys/a\0b") is None
    assert not root.exists("/sys/a\0b")
    assert root.findings()[0].found.isprintable()


@pytest.mark.parametrize("relative", [False, True])
def test_a_link_out_of_the_root_is_not_followed(tree, relative):
    outside = tree.parent / "outside"
    outside.mkdir()
    (outside / "value").write_text("of another machine")
    target = "../../outside" if relative else outside
    (tree / "sys/folder").symlink_to(target)
    (tree / "sys/value").symlink_to(f"{target}/value")
    root = Root(tree)
    assert root.text("/sys/value") is None
    assert root.text("/sys/folder/value") is None
    assert root.names("/sys/folder") == []
    assert root.resolve("/sys/folder") is None
    assert not root.exists("/sys/value")
    assert set(_notes(root)) == {"/sys/value", "/sys/folder", "/sys/folder/value"}
    assert all(f"is a link to a file outside {tree}" in note for note in _notes(root).values())


def test_a_sibling_directory_with_a_longer_name_is_outside(tree):
    neighbour = tree.parent / "tree2"
    neighbour.mkdir()
    (tree / "sys/link").symlink_to("../../tree2")
    assert Root(tree).resolve("/sys/link") is None


def test_a_root_directory_may_be_a_link(tree):
    (tree / "sys/value").write_text("1")
    (tree / "sys/link").symlink_to("value")
    link = tree.parent / "link"
    link.symlink_to("tree")
    root = Root(link)
    assert root.number("/sys/value") == 1
    assert root.resolve("/sys/link") == "/sys/value"


def test_links_inside_are_followed(tree):
    (tree / "sys/devices").mkdir()
    (tree / "sys/devices/value").write_text("1")
    (tree / "sys/bus").symlink_to("devices")
    root = Root(tree)
    assert root.number("/sys/bus/value") == 1
    assert root.names("/sys/bus") == ["value"]
    assert root.resolve("/sys/bus/value") == "/sys/devices/value"


def test_the_name_of_a_dangling_link_is_read(tree):
    (tree / "sys/driver").symlink_to("../bus/pci/drivers/vfio-pci")
    assert Root(tree).link_name("/sys/driver") == "vfio-pci"


def test_a_link_whose_name_is_not_text(tree):
    os.symlink(b"../drivers/\xff\x1b[1m", os.fsencode(tree / "sys/driver"))
    name = Root(tree).link_name("/sys/driver")
    assert name.isprintable()
    assert name.encode()


def test_a_file_that_is_no_link_has_no_name(tree):
    (tree / "sys/driver").touch()
    root = Root(tree)
    assert root.link_name("/sys/driver") is None
    assert not root.findings()


@pytest.mark.parametrize(
    ("number", "noted"),
    [(errno.EIO, True), (errno.EACCES, True), (errno.ENODEV, False), (errno.ENXIO, False)],
)
def test_a_file_that_opens_and_cannot_be_read(tree, monkeypatch, number, noted):
    (tree / "sys/value").write_text("1")

    def fail(handle, size):
        raise OSError(number, os.strerror(number))

    root = Root(tree)
    monkeypatch.setattr(os, "read", fail)
    assert root.text("/sys/value") is None
    assert bool(_notes(root)) == noted


def test_files_are_closed_after_reading(tree):
    (tree / "sys/value").write_text("1")
    (tree / "sys/folder").mkdir()
    root = Root(tree)
    before = os.listdir("/proc/self/fd")
    for path in ("/sys/value", "/sys/folder", "/sys/none"):
        root.text(path)
    assert len(os.listdir("/proc/self/fd")) == len(before)


def test_a_problem_is_reported_once(tree):
    (tree / "sys/value").write_text("x")
    root = Root(tree)
    assert root.number("/sys/value") is None
    assert root.number("/sys/value") is None
    assert len(root.findings()) == 1


def test_only_the_root_directory_is_the_running_machine(tree):
    (tree / "up").symlink_to("/")
    assert not Root(tree).is_live
    assert Root(tree / "up").is_live
