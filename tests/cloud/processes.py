# SPDX-License-Identifier: Apache-2.0
"""Supervised child processes, which never outlive the control plane."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tests.cloud import keeper as keeper_program

_TAIL = 30
_POLL = 0.1


class CloudError(Exception):
    """The control plane failed to start or to run."""


class Keeper:
    """A process that ends all process groups and removes the directory if this process dies.

    See ``keeper.py``.
    """

    def __init__(self, directory: Path) -> None:
        #: The mark in the environment of every process that the keeper ends.
        self.mark = {keeper_program.MARK: str(directory)}
        self._process = subprocess.Popen(
            [sys.executable, "-I", keeper_program.__file__, str(directory)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
            cwd="/",
        )
        self._lock = threading.Lock()

    def report(self, line: str) -> None:
        """Report that a process group started (``+PID``) or ended (``-PID``)."""
        assert self._process.stdin
        with self._lock, contextlib.suppress(BrokenPipeError):
            if not self._process.stdin.closed:
                self._process.stdin.write(line + "\n")
                self._process.stdin.flush()

    def close(self) -> None:
        """Let the keeper clean up, and wait until it has finished."""
        assert self._process.stdin
        with self._lock, contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.wait()


class Service:
    """A process (and its children) with a log, which can be stopped and restarted.

    :param ready: checks whether the service is ready; it may raise OSError for "no"
    :param patience: seconds to wait after SIGTERM
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str | Path],
        *,
        keeper: Keeper,
        log: Path,
        environment: Mapping[str, str],
        directory: Path,
        ready: Callable[[Service], bool],
        patience: float = 15,
    ) -> None:
        self.name = name
        self.log = log
        self._command = [str(word) for word in command]
        self._keeper = keeper
        self._environment = dict(environment)
        self._directory = directory
        self._ready = ready
        self._patience = patience
        self._process: subprocess.Popen[bytes] | None = None
        self._log_start = 0

    def __repr__(self) -> str:
        return f"<{self.name}: {'running' if self.running else 'not running'}>"

    @property
    def pid(self) -> int | None:
        """The id of the running process and of its group."""
        return self._process.pid if self._process else None

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start the process; see also `wait_ready`."""
        if self.running:
            return
        self._end_group()
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self._log_start = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**self._environment, **self._keeper.mark},
                cwd=self._directory,
                start_new_session=True,
            )
        self._keeper.report(f"+{self._process.pid}")

    def wait_ready(self, timeout: float = 150) -> None:
        """Wait until the process is ready.

        :raises CloudError: with the end of its log, if it ended or was not ready in time
        """
        deadline = time.monotonic() + timeout
        while True:
            if not self.running:
                status = self._process.returncode if self._process else None
                raise CloudError(f"{self.name} ended with status {status}:\n{self.tail()}")
            with contextlib.suppress(OSError):
                if self._ready(self):
                    return
            if time.monotonic() > deadline:
                raise CloudError(f"{self.name} was not ready in {timeout} s:\n{self.tail()}")
            time.sleep(_POLL)

    def stop(self) -> None:
        """Terminate the process, and wait up to its patience."""
        if self.running:
            assert self._process
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(self._patience)
        self._end_group()

    def kill(self) -> None:
        """Kill the process and all its children immediately (SIGKILL)."""
        self._end_group()

    def restart(self) -> None:
        """Stop and start the process, and wait until it is ready."""
        self.stop()
        self.start()
        self.wait_ready()

    def since_start(self) -> str:
        """Return the log since the last start."""
        with self.log.open("rb") as log:
            log.seek(self._log_start)
            return log.read().decode(errors="replace")

    def tail(self, lines: int = _TAIL) -> str:
        """Return the end of the log, and its path."""
        text = self.since_start() if self.log.exists() else ""
        return "\n".join([*text.splitlines()[-lines:], f"(log: {self.log})"])

    def _end_group(self) -> None:
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._keeper.report(f"-{self._process.pid}")
        self._process = None


def run(
    command: Sequence[str | Path],
    *,
    keeper: Keeper,
    log: Path,
    environment: Mapping[str, str],
    directory: Path,
    stdin: bytes = b"",
) -> None:
    """Run a program to its end.

    :raises CloudError: with the end of its output, if its status is not 0
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        process = subprocess.Popen(
            [str(word) for word in command],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**environment, **keeper.mark},
            cwd=directory,
            start_new_session=True,
        )
    keeper.report(f"+{process.pid}")
    try:
        process.communicate(stdin)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        keeper.report(f"-{process.pid}")
    if process.returncode:
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-_TAIL:])
        raise CloudError(
            f"Status {process.returncode} of {' '.join(map(str, command))}:\n{tail}\n(log: {log})"
        )
