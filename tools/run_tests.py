# SPDX-License-Identifier: Apache-2.0
"""Run the tiers of the test suite: lint, then the others, as many at a time as processors.

Each tier writes to a log of its own, so that tiers that run at the same time do not mix; what
is shown is one line for each, the whole of the failures, and a summary.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOGS = ROOT / "test-results"
# In seconds. Together they bound the default run, the building of environments included.
LIMITS = {"lint": 180, "unit": 1500, "functional": 2100, "gpu_host": 1200, "cloud": 2400}
PROCESSORS = os.cpu_count() or 1
#: Kinds, and whether with the newest release or with each of the others. With the long ones first,
#: all processors are busy until the end.
LONGEST_FIRST = (
    ("cloud", True),
    ("functional", True),
    ("unit", True),
    ("functional", False),
    ("gpu_host", True),
    ("unit", False),
)
#: Run once, whatever the releases.
ONCE = ("gpu_host", "cloud")
#: Unit tests in which Nova has a part; the others run with the newest of the releases only.
OF_NOVA = (
    "tests/unit/cloud/lint",
    "tests/unit/doc/test_commands.py",
    "tests/unit/generate",
    "tests/unit/packaging",
    "tests/unit/policies",
    "tests/unit/scheduler",
    "tests/unit/test_conf.py",
    "tests/unit/test_extra_specs.py",
    "tests/unit/test_packaging.py",
)
#: Tiers with an environment of their own, whatever the releases.
ENVIRONMENTS = {"cloud": "cloud-34"}
#: Functional tests that take long, and whose subject is not Nova.
SAME_WITH_EVERY_NOVA = ("tests/functional/test_demo.py", "tests/functional/test_fragmentation.py")
HEARTBEAT = 60
interrupted = threading.Event()


@dataclass
class Tier:
    """One command with its own log and time limit."""

    name: str
    command: list[str]
    limit: int
    state: str = "not run"
    seconds: float = 0.0
    process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> Path:
        return LOGS / f"{self.name}.log"

    def run(self) -> None:
        if interrupted.is_set():
            return
        started = time.monotonic()
        with self.log.open("wb") as log:
            # A session of its own: a tier that is stopped takes its children along.
            self.process = subprocess.Popen(
                self.command,
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            self.state = self.wait(self.process, started)
        self.seconds = time.monotonic() - started
        if interrupted.is_set():
            return
        say(self.line())
        if self.state != "passed":
            say(self.failures())
        elif not self.count("passed"):
            say("\n".join(re.findall(r"^SKIPPED .*$", self.log.read_text(), re.MULTILINE)))

    def wait(self, process: subprocess.Popen[bytes], started: float) -> str:
        while (elapsed := time.monotonic() - started) < self.limit:
            try:
                status = process.wait(min(HEARTBEAT, self.limit - elapsed))
            except subprocess.TimeoutExpired:
                say(f"{self.name:14} running  {time.monotonic() - started:4.0f} s")
            else:
                return "passed" if status == 0 else "FAILED"
        self.stop()
        return f"STOPPED after its limit of {self.limit} s"

    def stop(self) -> None:
        if self.process and self.process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def closing(self) -> str:
        """Return pytest's closing line, if there is one."""
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        return "".join(re.findall(r"^=+ .* in [\d.]+s.* =+$", text, re.MULTILINE)[-1:])

    def count(self, outcome: str) -> int:
        return sum(map(int, re.findall(rf"(\d+) {outcome}\b", self.closing())))

    def line(self) -> str:
        return f"{self.name:14} {self.state}  {self.seconds:4.0f} s  {self.closing()}".rstrip()

    def failures(self) -> str:
        """Return pytest's report of what failed, or the whole log where there is none."""
        text = self.log.read_text(errors="replace")
        report = re.search(r"^=+ (ERRORS|FAILURES) =+$", text, re.MULTILINE)
        return text[report.start() :] if report else text


def say(text: str) -> None:
    # One write, since several tiers report from threads of their own.
    sys.stdout.write(text.rstrip() + "\n")
    sys.stdout.flush()


def pytest(kind: str, nova: str, paths: Sequence[str] = (), workers: int = 1) -> Tier:
    environment = ENVIRONMENTS.get(kind, f"nova-{nova}")
    python = ROOT / ".venv" / environment / "bin" / "python"
    # Two releases at a time share the checkout: no cache that both would write.
    command = [str(python), "-m", "pytest", *(paths or [f"tests/{kind}"])]
    command += ["-p", "no:cacheprovider"]
    command += ["-n", str(workers), "--dist", "loadfile"] if workers > 1 else []
    name = environment if kind in ENVIRONMENTS else f"{kind}-{nova}"
    return Tier(name, command, LIMITS[kind])


def tiers_of(kinds: Collection[str], releases: Sequence[str]) -> list[Tier]:
    """Return what may run side by side, in the order of `LONGEST_FIRST`."""
    wanted = [
        (kind, nova)
        for kind, newest in LONGEST_FIRST
        if kind in kinds
        for nova in ([releases[-1]] if newest else releases[:-1])
    ]
    workers = max(1, PROCESSORS // max(1, len(wanted)))
    tiers = []
    for kind, nova in wanted:
        newest = nova == releases[-1]
        paths = OF_NOVA if kind == "unit" and not newest else ()
        tiers.append(pytest(kind, nova, paths, 1 if kind in ONCE else workers))
        if kind == "functional" and not newest:
            tiers[-1].command += [f"--ignore={path}" for path in SAME_WITH_EVERY_NOVA]
    return tiers


def run_all(lint: list[Tier], tiers: list[Tier]) -> None:
    """Run lint alone, then the tiers, as many at a time as there are processors."""
    for tier in lint:
        tier.run()
    left = collections.deque(tiers)

    def work() -> None:
        with contextlib.suppress(IndexError):
            while True:
                left.popleft().run()

    threads = [threading.Thread(target=work) for _ in range(PROCESSORS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def main() -> int:
    parser = argparse.ArgumentParser(description="Run the tiers of the test suite.")
    parser.add_argument("kinds", nargs="+", choices=LIMITS, help="what to run")
    parser.add_argument("--nova", nargs="+", default=["31", "34"], help="Nova releases")
    arguments = parser.parse_args()
    started = time.monotonic()
    # A signal to this process does not reach the tiers, which have sessions of their own.
    signal.signal(signal.SIGTERM, signal.default_int_handler)

    LOGS.mkdir(exist_ok=True)
    kinds = [kind for kind in LIMITS if kind in arguments.kinds]
    lint = [Tier("lint", ["make", "lint"], LIMITS["lint"])] if "lint" in kinds else []
    tests = tiers_of(kinds, arguments.nova)
    tiers = [*lint, *tests]
    try:
        environments = {f"nova-{nova}" for nova in arguments.nova}
        if set(kinds) <= set(ENVIRONMENTS):
            environments = set()
        environments |= {name for kind, name in ENVIRONMENTS.items() if kind in kinds}
        for environment in sorted(environments):
            build = [sys.executable, str(ROOT / "tools" / "venv.py"), environment]
            if status := subprocess.call(build):
                return status
        run_all(lint, tests)
    except KeyboardInterrupt:
        interrupted.set()
        for tier in tiers:
            tier.stop()
        return 130

    failed = [tier.name for tier in tiers if tier.state != "passed"]
    say(f"\nSummary ({time.monotonic() - started:.0f} s; logs in {LOGS.name}/)")
    for tier in tiers:
        say("  " + tier.line())
    say(
        "Tests: " + ", ".join(f"{sum(t.count(o) for t in tiers)} {o}" for o in ("passed", "failed"))
    )
    say(f"FAILED: {', '.join(failed)}" if failed else f"All {len(tiers)} tiers passed.")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
