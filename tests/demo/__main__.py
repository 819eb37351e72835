# SPDX-License-Identifier: Apache-2.0
"""Runs the demo's two clouds side by side and prints their placements as they come."""

import json
import queue
import subprocess
import sys
import threading
import time
from typing import Any

from tests.demo import report, scenario

_KINDS = ("gpu", "nova")


class PlacingFailedError(RuntimeError):
    """One of the clouds ended early."""


def _follow(kind: str, process: "subprocess.Popen[str]", events: "queue.Queue[Any]") -> None:
    assert process.stdout is not None
    for line in process.stdout:
        events.put((kind, json.loads(line)))
    events.put((kind, {"event": "ended", "status": process.wait()}))


def _start(kind: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "tests.demo.placing", kind],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    )


def _progress(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)
    elif text:
        print(text, file=sys.stderr, flush=True)


def _show(events: "queue.Queue[Any]") -> tuple[dict[str, list[Any]], dict[str, Any]]:
    """Print the servers' table row by row; return all servers and the last events by cloud."""
    servers: dict[str, list[Any]] = {kind: [] for kind in _KINDS}
    last: dict[str, Any] = {}
    started = printed = 0
    while len(last) < len(_KINDS):
        kind, event = events.get()
        if event["event"] == "ended":
            if kind in last:
                continue
            raise PlacingFailedError(
                f"The {'GPU-aware' if kind == 'gpu' else 'plain'} cloud ended with status "
                f"{event['status']} before it had placed all servers; its errors are above."
            )
        if event["event"] == "started":
            started += 1
            _progress(f"{started} of {len(_KINDS)} clouds are up.")
        elif event["event"] == "server":
            servers[kind].append(event)
        else:
            last[kind] = event
        while printed < min(len(placed) for placed in servers.values()):
            if not printed:
                _progress("")
                print(report.header())
            ours, theirs = (servers[kind][printed] for kind in _KINDS)
            print(report.row(ours["name"], ours, theirs), flush=True)
            printed += 1
    return servers, last


def main() -> int:
    """Run the demo; 0 if both clouds placed what they could."""
    began = time.monotonic()
    print(
        "Hosts: hgx1, hgx2 (8 GPUs each; NVSwitch partitions q0, q1 of 4 and p0 to p3 of 2; 4 GPUs "
        "per NUMA\nnode), pcie3 (4 GPUs with audio functions), cpu4 (no GPU). Aliases with NUMA "
        f"policy {scenario.NUMA_POLICY!r}.\n"
    )
    _progress("Starting two clouds (API, conductor, scheduler, Placement, 4 computes each)...")
    events: queue.Queue[Any] = queue.Queue()
    processes = {kind: _start(kind) for kind in _KINDS}
    for kind, process in processes.items():
        threading.Thread(target=_follow, args=(kind, process, events), daemon=True).start()
    try:
        servers, last = _show(events)
    except PlacingFailedError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        _progress("")
        print("Interrupted.", file=sys.stderr)
        return 130
    finally:
        for process in processes.values():
            process.terminate()
    print("\nWhat nova-scheduler's log says about the last request, with nova_gpu_passthrough:")
    print(f"  {last['gpu']['log'][-1]}\n")
    print(report.final(*(report.summary(servers[kind], last[kind]["free"]) for kind in _KINDS)))
    print(f"\n{time.monotonic() - began:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
