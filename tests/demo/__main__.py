# SPDX-License-Identifier: Apache-2.0
"""Run the two clouds of the demo at the same time and print their placements."""

import json
import queue
import subprocess
import sys
import threading
import time
from typing import Any

from tests.demo import report, scenario

_CLOUDS = ("gpu", "nova")


class CloudEndedError(RuntimeError):
    """A cloud ended before it placed all servers."""


def _read_events(cloud: str, process: "subprocess.Popen[str]", events: "queue.Queue[Any]") -> None:
    assert process.stdout is not None
    for line in process.stdout:
        events.put((cloud, json.loads(line)))
    events.put((cloud, {"event": "ended", "status": process.wait()}))


def _start(cloud: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "tests.demo.placing", cloud],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    )


def _progress(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)
    elif text:
        print(text, file=sys.stderr, flush=True)


def _print_servers(events: "queue.Queue[Any]") -> tuple[dict[str, list[Any]], dict[str, Any]]:
    """Print the servers row by row; return the servers and the last event of each cloud."""
    servers: dict[str, list[Any]] = {cloud: [] for cloud in _CLOUDS}
    last: dict[str, Any] = {}
    started = printed = 0
    while len(last) < len(_CLOUDS):
        cloud, event = events.get()
        if event["event"] == "ended":
            if cloud in last:
                continue
            raise CloudEndedError(
                f"The {'GPU-aware' if cloud == 'gpu' else 'plain'} cloud ended with status "
                f"{event['status']} before it placed all servers; its errors are above."
            )
        if event["event"] == "started":
            started += 1
            _progress(f"{started} of {len(_CLOUDS)} clouds are running.")
        elif event["event"] == "server":
            servers[cloud].append(event)
        else:
            last[cloud] = event
        while printed < min(len(placed) for placed in servers.values()):
            if not printed:
                _progress("")
                print(report.header())
            ours, theirs = (servers[cloud][printed] for cloud in _CLOUDS)
            print(report.row(ours["name"], ours, theirs), flush=True)
            printed += 1
    return servers, last


def main() -> int:
    """Run the demo; return 0 if both clouds ran to the end."""
    start_time = time.monotonic()
    print(
        "Hosts: hgx1, hgx2 (8 GPUs each; NVSwitch partitions q0, q1 of 4 and p0 to p3 of 2; 4 GPUs "
        "per NUMA\nnode), pcie3 (4 GPUs with audio functions), cpu4 (no GPU). Aliases with NUMA "
        f"policy {scenario.NUMA_POLICY!r}.\n"
    )
    _progress("Starting two clouds (API, conductor, scheduler, Placement, 4 computes each)...")
    events: queue.Queue[Any] = queue.Queue()
    processes = {cloud: _start(cloud) for cloud in _CLOUDS}
    for cloud, process in processes.items():
        threading.Thread(target=_read_events, args=(cloud, process, events), daemon=True).start()
    try:
        servers, last = _print_servers(events)
    except CloudEndedError as error:
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
    print(report.final(*(report.summary(servers[cloud], last[cloud]["free"]) for cloud in _CLOUDS)))
    print(f"\n{time.monotonic() - start_time:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
