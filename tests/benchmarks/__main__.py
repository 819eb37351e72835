# SPDX-License-Identifier: Apache-2.0
"""Runs the benchmarks. Timings are printed and judged, but never make the run fail."""

import argparse
import importlib.metadata
import platform
import time

from tests.benchmarks import prepare, report

#: The scale first: the peak of memory use tells something only before the others.
PARTS = ("scale", "policies", "plain", "filter", "decisions", "audit", "startup")


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--only", choices=PARTS, help="one part (default: all)")
    parser.add_argument("--quick", action="store_true", help="fewer hosts and repetitions")
    options = parser.parse_args()
    start = time.monotonic()
    prepare()
    # Nova's objects must be registered before these are imported.
    from tests.benchmarks import audit, decisions, filtering, plain, policies, scale, startup

    modules = {
        "filter": filtering,
        "scale": scale,
        "policies": policies,
        "plain": plain,
        "decisions": decisions,
        "audit": audit,
        "startup": startup,
    }
    print(
        f"nova {importlib.metadata.version('nova')}, Python {platform.python_version()}, "
        f"{platform.machine()}; times are processor times"
    )
    verdicts = report.Verdicts()
    for part in [options.only] if options.only else PARTS:
        modules[part].main(verdicts, options.quick)
    verdicts.show()
    print(f"\n{time.monotonic() - start:.0f} s, at most {report.peak_mib():,.0f} MiB")


if __name__ == "__main__":
    main()
