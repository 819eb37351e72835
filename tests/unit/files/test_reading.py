# SPDX-License-Identifier: Apache-2.0
"""Files that users name: what may be read, and how much of it."""

import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from nova_gpu_passthrough.errors import UserError
from nova_gpu_passthrough.files import reading


@pytest.fixture
def message():
    """Return a function that reads a path and returns the message, at once."""

    def read(path, max_bytes=reading.MAX_BYTES):
        started = time.monotonic()
        with pytest.raises(UserError) as caught:
            reading.read_text(Path(path), max_bytes)
        assert time.monotonic() - started < 1
        return str(caught.value)

    return read


def test_text_and_bytes(tmp_path):
    path = tmp_path / "file"
    path.write_bytes("größe\r\nb\rc\n".encode())
    assert reading.read_text(path) == "größe\nb\nc\n"
    assert reading.read_bytes(path) == "größe\r\nb\rc\n".encode()
    path.write_bytes(b"")
    assert reading.read_text(path) == ""


def test_a_link_to_a_file(tmp_path):
    (tmp_path / "file").write_text("x")
    (tmp_path / "link").symlink_to("file")
    assert reading.read_text(tmp_path / "link") == "x"


def test_an_unreadable_file(message, tmp_path):
    missing = tmp_path / "missing"
    assert message(missing) == f"{missing}: No such file or directory; name a readable file"
    assert "embedded null byte" in message(tmp_path / "a\0b")
    (tmp_path / "loop").symlink_to("loop")
    assert "Too many levels of symbolic links" in message(tmp_path / "loop")


def test_what_is_no_file(message, tmp_path):
    assert message(tmp_path) == f"{tmp_path} is a directory, not a file; name a regular file"
    os.mkfifo(tmp_path / "fifo")
    assert " is a named pipe, not a file" in message(tmp_path / "fifo")
    for device in ("/dev/zero", "/dev/null", "/dev/full"):
        assert message(device) == f"{device} is a device, not a file; name a regular file"
    with socket.socket(socket.AF_UNIX) as unix:
        unix.bind(str(tmp_path / "socket"))
        assert " is a socket, not a file" in message(tmp_path / "socket")


def test_a_named_pipe_with_a_writer_that_says_nothing(message, tmp_path):
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    handle = os.open(fifo, os.O_RDWR)
    assert " is a named pipe, not a file" in message(fifo)
    os.close(handle)


def test_a_file_that_is_too_large(message, tmp_path):
    large = tmp_path / "large"
    with large.open("wb") as file:
        file.truncate(100 * 2**20)
    expected = f"{large} has more than 64 MiB; is it the right file?"
    assert message(large, reading.MAX_BYTES_OF_LISTS) == expected


def test_a_file_at_the_limit(message, tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"x" * 2**20)
    assert len(reading.read_bytes(path, 2**20)) == 2**20
    path.write_bytes(b"x" * (2**20 + 1))
    assert message(path, 2**20) == f"{path} has more than 1 MiB; is it the right file?"


def test_a_file_of_proc_has_no_size():
    assert "Name:" in reading.read_text(Path("/proc/self/status"))


def test_text_that_is_not_utf_8_is_located(message, tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"a\nb\n\xff\n")
    assert message(path) == f"{path}:3: not valid UTF-8; is it the right file?"


def test_a_pipe_of_the_shell_is_read_to_its_end():
    read_end, write_end = os.pipe()

    def write_late():
        time.sleep(0.2)
        os.write(write_end, b"late")
        os.close(write_end)

    writer = threading.Thread(target=write_late)
    writer.start()
    assert reading.read_text(Path(f"/dev/fd/{read_end}")) == "late"
    writer.join()
    os.close(read_end)


def test_a_pipe_of_the_shell_has_a_limit():
    code = (
        "import pathlib; from nova_gpu_passthrough.files import reading;"
        "reading.read_text(pathlib.Path('/dev/stdin'))"
    )
    with open("/dev/zero", "rb") as zero:
        cat = subprocess.Popen(["cat"], stdin=zero, stdout=subprocess.PIPE)
    done = subprocess.run(
        [sys.executable, "-c", code], stdin=cat.stdout, capture_output=True, text=True
    )
    cat.stdout.close()
    cat.wait()
    assert "/dev/stdin has more than 8 MiB" in done.stderr
