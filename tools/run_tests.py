# SPDX-License-Identifier: Apache-2.0
"""Run the tiers of the test suite in parallel, one more than there are processors.

Each tier writes to its own log. The output has one line for each tier, all failures, and a summary.
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
# Time limits in seconds, with the build of environments. They are three times what tiers take on
# two idle processors; those of all tiers of the default run end within 90 minutes on two.
LIMITS = {"lint": 600, "unit": 2100, "functional": 2700, "gpu_host": 1500, "cloud": 2700}
PROCESSORS = os.cpu_count() or 1
#: A tier does not use a whole processor, because it waits for services and messages.
AT_A_TIME = PROCESSORS + 1
#: Kinds of tiers, and whether they run with the newest release or with each of the others. Long
#: tiers run first, so that all processors are busy until the end.
LONGEST_FIRST = (
    ("lint", True),
    ("cloud", True),
    ("functional", True),
    ("unit", True),
    ("functional", False),
    ("gpu_host", True),
    ("unit", False),
)
#: Kinds that run once, independent of the releases.
ONCE = ("gpu_host", "cloud")
_WITHOUT_ADDED_PACKAGES = "test_nova_services_need_none_of_the_added_packages"
#: Unit tests that use Nova; the others run only with the newest release.
OF_NOVA = (
    "tests/unit/cloud/lint/test_agreement_with_nova.py",
    "tests/unit/doc/test_commands.py::test_options_in_the_readme_exist",
    "tests/unit/fleet/flavors/test_any_fleet.py",
    "tests/unit/fleet/flavors/test_group_traits.py",
    "tests/unit/fleet/test_aliases.py",
    "tests/unit/generate/test_any_host.py",
    "tests/unit/fleet/test_limits.py",
    "tests/unit/fleet/test_demand.py",
    "tests/unit/nova_rules",
    "tests/unit/placement",
    "tests/unit/packaging/test_beside_nova.py::" + _WITHOUT_ADDED_PACKAGES,
    "tests/unit/scheduler",
    "tests/unit/simulator/nova",
    "tests/unit/test_conf.py",
    "tests/unit/test_extra_specs.py",
    "tests/unit/test_packaging.py",
    "tests/unit/test_policy_files.py",
)
#: Kinds with their own environment, independent of the releases.
ENVIRONMENTS = {"cloud": "cloud-34"}
#: Functional tests that do not depend on the release: the demo, the simulator, and those of the
#: embedded cloud that do not check how Nova stores devices.
SAME_WITH_EVERY_NOVA = (
    "tests/functional/test_demo.py",
    "tests/functional/test_embedded.py::Capacity",
    "tests/functional/test_embedded.py::Moves",
    "tests/functional/test_embedded.py::OneCloud",
    "tests/functional/test_embedded.py::Variants",
    "tests/functional/test_fragmentation.py",
)
#: Tests that take long with an older release, for which ``--full`` runs them.
ONLY_FULL_WITH_OLDER = ("tests/functional/test_nova_own_tests.py",)
#: How much longer the tiers may take with ``--full``, and how many random hosts it compares.
FULL_FACTOR = 4
FULL_VARIABLES = {"NOVA_GPU_FUZZ": "10000"}
HEARTBEAT = 60
interrupted = threading.Event()


@dataclass
class Tier:
    """A command with its environment, log and time limit."""

    name: str
    environment: str
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
        # Environments are built here, so that the first tiers run while others are being built.
        build = [sys.executable, str(ROOT / "tools" / "venv.py"), self.environment]
        with self.log.open("wb") as log:
            for command in (build, self.command):
                # In a new session, so that stopping a tier also stops its children.
                self.process = subprocess.Popen(
                    command,
                    cwd=ROOT,
                    env=variables(),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
                self.state = self.wait(self.process, started)
                if interrupted.is_set() or self.state != "passed":
                    break
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
        """Return the last line of pytest's output, if there is one."""
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        return "".join(re.findall(r"^=+ .* in [\d.]+s.* =+$", text, re.MULTILINE)[-1:])

    def count(self, outcome: str) -> int:
        return sum(map(int, re.findall(rf"(\d+) {outcome}\b", self.closing())))

    def line(self) -> str:
        return f"{self.name:14} {self.state}  {self.seconds:4.0f} s  {self.closing()}".rstrip()

    def failures(self) -> str:
        """Return pytest's report of the failures, or the whole log if there is none."""
        text = self.log.read_text(errors="replace")
        report = re.search(r"^=+ (ERRORS|FAILURES) =+$", text, re.MULTILINE)
        return text[report.start() :] if report else text


def variables() -> dict[str, str]:
    """Return the environment variables of the tiers.

    Container images often set PYTHONDONTWRITEBYTECODE. Tiers start hundreds of programs, which
    would then spend half of their time compiling modules.
    """
    return {name: v for name, v in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def say(text: str) -> None:
    # A single write, because several threads print.
    sys.stdout.write(text.rstrip() + "\n")
    sys.stdout.flush()


def pytest(kind: str, nova: str, paths: Sequence[str] = (), workers: int = 1) -> Tier:
    environment = ENVIRONMENTS.get(kind, f"nova-{nova}")
    python = ROOT / ".venv" / environment / "bin" / "python"
    # Two releases share the checkout at the same time, so both would write the same cache.
    command = [str(python), "-m", "pytest", *(paths or [f"tests/{kind}"])]
    command += ["-p", "no:cacheprovider", "--durations=20"]
    command += ["-n", str(workers), "--dist", "loadfile"] if workers > 1 else []
    name = environment if kind in ENVIRONMENTS else f"{kind}-{nova}"
    return Tier(name, environment, command, LIMITS[kind])


def tiers_of(kinds: Collection[str], releases: Sequence[str], full: bool = False) -> list[Tier]:
    """Return the tiers in the order of `LONGEST_FIRST`.

    :param full: run every test with every release
    """
    selected = [
        (kind, nova)
        for kind, newest in LONGEST_FIRST
        if kind in kinds
        for nova in ([releases[-1]] if newest else releases[:-1])
    ]
    workers = max(1, PROCESSORS // max(1, len(selected)))
    tiers = []
    for kind, nova in selected:
        if kind == "lint":
            tiers.append(Tier(kind, f"nova-{nova}", ["make", "lint"], LIMITS[kind]))
            continue
        newest = nova == releases[-1]
        paths = OF_NOVA if kind == "unit" and not (newest or full) else ()
        tiers.append(pytest(kind, nova, paths, 1 if kind in ONCE else workers))
        if kind == "functional" and not (newest or full):
            left_out = (*SAME_WITH_EVERY_NOVA, *ONLY_FULL_WITH_OLDER)
            tiers[-1].command += [f"--deselect={test}" for test in left_out]
    if full:
        for tier in tiers:
            tier.limit *= FULL_FACTOR
    return tiers


def run_all(tiers: list[Tier]) -> None:
    """Run the tiers in order, `AT_A_TIME` of them in parallel."""
    queue = collections.deque(tiers)

    def work() -> None:
        with contextlib.suppress(IndexError):
            while True:
                queue.popleft().run()

    threads = [threading.Thread(target=work) for _ in range(AT_A_TIME)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def main() -> int:
    parser = argparse.ArgumentParser(description="Run the tiers of the test suite.")
    parser.add_argument("kinds", nargs="+", choices=LIMITS, help="kinds of tests to run")
    parser.add_argument("--nova", nargs="+", default=["31", "34"], help="Nova releases")
    parser.add_argument(
        "--full", action="store_true", help="run every test with every release, which takes hours"
    )
    arguments = parser.parse_args()
    if arguments.full:
        os.environ.update(FULL_VARIABLES)
    started = time.monotonic()
    # A signal to this process does not reach the tiers, which run in their own sessions.
    signal.signal(signal.SIGTERM, signal.default_int_handler)

    LOGS.mkdir(exist_ok=True)
    tiers = tiers_of(arguments.kinds, arguments.nova, arguments.full)
    try:
        run_all(tiers)
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
