# SPDX-License-Identifier: Apache-2.0
"""Start the control plane, print how to reach it, and keep it running until Ctrl-C."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from pathlib import Path

from tests.cloud import catalogue
from tests.cloud.control_plane import ControlPlane
from tests.cloud.processes import CloudError
from tests.debian import Unavailable


def _print(line: str) -> None:
    print(line, flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.cloud", description=__doc__)
    parser.add_argument("--dir", type=Path, help="where it lives; it is removed at the end")
    arguments = parser.parse_args()
    ended = threading.Event()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with ControlPlane(arguments.dir, report=_print) as plane:
            print(f"Running in {plane.directory} after {sum(plane.timings.values()):.0f} s.")
            print(f"export OS_CLIENT_CONFIG_FILE={plane.clouds_yaml}")
            print(f"export OS_CLOUD=admin  # or {', '.join(list(catalogue.CLOUDS)[1:])}")
            print("Ctrl-C ends it and removes the directory.", flush=True)
            ended.wait()
    except KeyboardInterrupt:
        return 130
    except (CloudError, Unavailable) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
