# SPDX-License-Identifier: Apache-2.0
"""Generated files are replaced atomically, and edited files are kept."""

import os
import stat
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nova_gpu_passthrough.errors import UserError
from nova_gpu_passthrough.files import generated_files
from nova_gpu_passthrough.files.generated_files import FileState, file_state, seal, write_all

PAGE = '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">\n<title>x</title>\n'
OLD, NEW = seal("a = 1\n", "nova-gpu x"), seal("a = 2\n", "nova-gpu x")
AS_ROOT = os.geteuid() == 0


def _mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def _names(folder):
    return sorted(os.listdir(folder))


def test_a_seal_is_two_comments_before_the_text():
    lines = seal("a = 1\n", "nova-gpu host audit --write f").splitlines()
    assert lines[0] == "# Made by: nova-gpu host audit --write f"
    assert lines[1].startswith("# Checksum: ")
    assert "--force" in lines[1]
    assert lines[2:] == ["a = 1"]


@pytest.mark.parametrize("command", ["a\nb = 1", "a\rb", "a\u2028b", "\udcff", ""])
def test_a_command_stays_on_its_line(command):
    text = seal("x\n", command)
    assert text.encode()
    assert [line[:1] for line in text.split("\n")[:2]] == ["#", "#"]
    assert len(text.splitlines()) == 3


def test_the_seal_of_a_page_is_html_comments_after_its_first_line():
    lines = seal(PAGE, "nova-gpu report --html a.html").splitlines()
    assert lines[0] == PAGE.splitlines()[0]
    assert lines[1] == "<!-- Made by: nova-gpu report --html a.html -->"
    assert lines[2].startswith("<!-- Checksum: ")
    assert lines[2].endswith(" -->")
    assert lines[3:] == ["<title>x</title>"]


@pytest.mark.parametrize("command", ["a --> <script>", "a\nb", "-->", "--!>", ""])
def test_a_command_does_not_end_the_comment_of_a_page(command):
    lines = seal(PAGE, command).splitlines()
    assert len(lines) == 4
    assert lines[1].count(">") == 1
    assert lines[1].count("<") == 1


def test_a_page_counts_as_generated_until_it_is_edited(tmp_path):
    path, other = tmp_path / "a.html", PAGE.replace("x", "y")
    path.write_text(seal(PAGE, "nova-gpu report"))
    assert file_state(path, seal(PAGE, "another")) is FileState.SAME
    assert file_state(path, seal(other, "nova-gpu report")) is FileState.CHANGED
    path.write_text(path.read_text().replace("x", "z"))
    assert file_state(path, seal(PAGE, "nova-gpu report")) is FileState.EDITED
    path.write_text(PAGE)
    assert file_state(path, seal(other, "nova-gpu report")) is FileState.EDITED


def test_files_are_checked_before_their_texts_are_made(tmp_path):
    generated, edited = tmp_path / "generated", tmp_path / "edited"
    generated.write_text(OLD)
    edited.write_text("mine")
    assert generated_files.check_files({generated: "", tmp_path / "new": ""}) == {
        generated: FileState.CHANGED,
        tmp_path / "new": FileState.NEW,
    }
    with pytest.raises(UserError, match="edited: edited since it was generated"):
        generated_files.check_files({generated: "", edited: ""})
    assert generated_files.check_files({edited: ""}, force=True) == {edited: FileState.EDITED}
    assert edited.read_text() == "mine"


def test_states(tmp_path):
    path = tmp_path / "file"
    assert file_state(path, NEW) is FileState.NEW
    path.write_text(NEW)
    assert file_state(path, NEW) is FileState.SAME
    path.write_text(OLD)
    assert file_state(path, NEW) is FileState.CHANGED
    path.write_text(OLD + "# mine\n")
    assert file_state(path, NEW) is FileState.EDITED
    path.write_text("something else\n")
    assert file_state(path, NEW) is FileState.EDITED
    path.write_text("")
    assert file_state(path, NEW) is FileState.EDITED


def test_another_command_with_the_same_result_is_the_same(tmp_path):
    path = tmp_path / "file"
    path.write_text(seal("a = 1\n", "nova-gpu yesterday"))
    assert file_state(path, seal("a = 1\n", "nova-gpu today")) is FileState.SAME


def test_a_file_edited_to_the_new_text_is_the_same(tmp_path):
    path = tmp_path / "file"
    path.write_text(OLD.replace("a = 1", "a = 2"))
    assert file_state(path, NEW) is FileState.SAME


@pytest.mark.parametrize(
    "data", [b"\xff\xfe", NEW.replace("\n", "\r\n").encode(), NEW[:-1].encode()]
)
def test_any_other_byte_is_an_edit(tmp_path, data):
    (tmp_path / "file").write_bytes(data)
    assert file_state(tmp_path / "file", NEW) is FileState.EDITED


TEXTS = st.text(st.characters(blacklist_categories=["Cs"]), max_size=60)
BODIES = st.one_of(TEXTS, TEXTS.map("<!DOCTYPE html>{}".format), TEXTS.map("#!/bin/sh{}".format))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(BODIES, BODIES, TEXTS)
def test_a_written_file_counts_as_generated_until_it_is_edited(tmp_path, old, new, command):
    path = tmp_path / "file"
    path.unlink(missing_ok=True)
    sealed = seal(old, command)
    assert write_all({path: sealed}) == {path: FileState.NEW}
    assert path.read_bytes() == sealed.encode()
    expected = FileState.SAME if old == new else FileState.CHANGED
    assert file_state(path, seal(new, "another")) is expected
    path.write_bytes(sealed.encode() + b"#")
    if f"{old}#" != new:
        assert file_state(path, seal(new, command)) is FileState.EDITED


def test_all_files_are_written(tmp_path):
    files = {tmp_path / "a": OLD, tmp_path / "deep/er/b": NEW}
    assert write_all(files) == dict.fromkeys(files, FileState.NEW)
    assert {path: path.read_text() for path in files} == files
    assert _names(tmp_path) == ["a", "deep"]


def test_a_file_with_the_same_text_is_not_written(tmp_path):
    path = tmp_path / "file"
    path.write_text(OLD)
    before = path.stat()
    assert write_all({path: OLD}) == {path: FileState.SAME}
    assert path.stat().st_ino == before.st_ino


def test_nothing_is_written_if_one_was_edited(tmp_path):
    new, changed, edited = (tmp_path / name for name in "abc")
    changed.write_text(OLD)
    edited.write_text("mine\n")
    with pytest.raises(UserError, match="nothing was written; compare and add --force") as caught:
        write_all({new: NEW, changed: NEW, edited: NEW})
    assert str(edited) in str(caught.value)
    assert str(changed) not in str(caught.value)
    assert _names(tmp_path) == ["b", "c"]
    assert changed.read_text() == OLD
    assert edited.read_text() == "mine\n"


def test_force_replaces_an_edited_file(tmp_path):
    path = tmp_path / "file"
    path.write_text("mine\n")
    assert write_all({path: NEW}, force=True) == {path: FileState.EDITED}
    assert path.read_text() == NEW


def test_an_interrupted_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "file"
    path.write_text(OLD)

    def interrupted(handle):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_all({path: NEW})
    assert path.read_text() == OLD
    assert _names(tmp_path) == ["file"]


@pytest.mark.parametrize("name", ["fsync", "replace", "fchmod"])
def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch, name):
    path = tmp_path / "file"
    path.write_text(OLD)

    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, name, full)
    with pytest.raises(UserError, match=r"file: No space left on device; it was not written"):
        write_all({path: NEW})
    assert path.read_text() == OLD
    assert _names(tmp_path) == ["file"]


@pytest.mark.skipif(AS_ROOT, reason="root may write everywhere")
def test_a_directory_that_may_not_be_written(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(UserError, match="Permission denied; it was not written"):
        write_all({tmp_path / "file": NEW})


@pytest.mark.skipif(AS_ROOT, reason="root may read everything")
def test_a_file_that_may_not_be_read(tmp_path):
    (tmp_path / "file").touch(mode=0)
    with pytest.raises(UserError, match="Permission denied"):
        write_all({tmp_path / "file": NEW})


def test_a_file_system_that_takes_no_files():
    with pytest.raises(UserError, match="; it was not written"):
        write_all({Path("/proc/none/file"): NEW})


def test_a_path_through_a_file(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="a parent of it is not a directory"):
        write_all({tmp_path / "file" / "below": NEW})


def test_the_place_of_one_file(tmp_path):
    generated_files.check_place(tmp_path / "new")
    (tmp_path / "old").write_text("x")
    generated_files.check_place(tmp_path / "old")
    with pytest.raises(UserError, match="there is no directory .*none; create it"):
        generated_files.check_place(tmp_path / "none" / "file")
    with pytest.raises(UserError, match="there is no directory .*old; create it"):
        generated_files.check_place(tmp_path / "old" / "file")
    with pytest.raises(UserError, match="not a regular file"):
        generated_files.check_place(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["old"]


def test_a_directory_in_the_place(tmp_path):
    (tmp_path / "folder").mkdir()
    with pytest.raises(UserError, match="not a regular file"):
        write_all({tmp_path / "folder": NEW}, force=True)


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UserError, match="not a regular file"):
        write_all({tmp_path / "pipe": NEW}, force=True)


@pytest.mark.parametrize("exists", [True, False])
def test_a_link_stays_one(tmp_path, exists):
    (tmp_path / "there").mkdir()
    target, link = tmp_path / "there/file", tmp_path / "link"
    if exists:
        target.write_text(OLD)
    link.symlink_to("there/file")
    assert write_all({link: NEW}) == {link: FileState.CHANGED if exists else FileState.NEW}
    assert link.is_symlink()
    assert target.read_text() == NEW
    assert _names(tmp_path / "there") == ["file"]


def test_links_in_a_circle(tmp_path):
    (tmp_path / "link").symlink_to("link")
    with pytest.raises(UserError, match="Too many levels of symbolic links"):
        write_all({tmp_path / "link": NEW}, force=True)


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o444])
def test_permissions_are_kept(tmp_path, mode):
    path = tmp_path / "file"
    path.write_text(OLD)
    path.chmod(mode)
    write_all({path: NEW})
    assert _mode(path) == mode
    assert path.read_text() == NEW


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o077, 0o600)])
def test_a_new_file_has_the_usual_permissions(tmp_path, mask, mode):
    before = os.umask(mask)
    try:
        write_all({tmp_path / "file": NEW})
        assert os.umask(mask) == mask
    finally:
        os.umask(before)
    assert _mode(tmp_path / "file") == mode


@pytest.mark.skipif(not AS_ROOT, reason="only root may give files away")
def test_the_owner_is_kept(tmp_path):
    path = tmp_path / "file"
    path.write_text(OLD)
    os.chown(path, 1, 2)
    write_all({path: NEW})
    assert (path.stat().st_uid, path.stat().st_gid) == (1, 2)


def test_an_owner_that_cannot_be_kept_is_no_error(tmp_path, monkeypatch):
    path = tmp_path / "file"
    path.write_text(OLD)

    def refused(*arguments):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(generated_files.os, "fchown", refused)
    write_all({path: NEW})
    assert path.read_text() == NEW


def test_a_temporary_file_is_never_seen_by_its_name(tmp_path, monkeypatch):
    """Tools that read a conf.d folder skip hidden files."""
    seen = []
    replace = os.replace

    def looking(source, target):
        seen.extend(_names(tmp_path))
        replace(source, target)

    monkeypatch.setattr(os, "replace", looking)
    write_all({tmp_path / "10-gpu.conf": NEW})
    assert seen
    assert all(name.startswith(".") for name in seen)
