# SPDX-License-Identifier: Apache-2.0
"""Run the benchmarks. Timings are printed and compared with expectations, but never fail a run."""

import argparse
import importlib.metadata
import platform
import time

from tests.benchmarks import prepare, report

#: The scale first: its peak memory use is only known before the others run.
BENCHMARKS = ("scale", "policies", "plain", "filter", "decisions", "audit", "startup", "placement")


def main() -> None:
    """Run the benchmarks given on the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--only", choices=BENCHMARKS, help="run one benchmark (default: all)")
    parser.add_argument("--quick", action="store_true", help="fewer hosts and repetitions")
    options = parser.parse_args()
    start = time.monotonic()
    prepare()
    # Nova's objects must be registered before these are imported.
    from tests.benchmarks import (
        audit,
        decisions,
        filtering,
        placement,
        plain,
        policies,
        scale,
        startup,
    )

    modules = {
        "filter": filtering,
        "scale": scale,
        "policies": policies,
        "plain": plain,
        "decisions": decisions,
        "audit": audit,
        "startup": startup,
        "placement": placement,
    }
    print(
        f"nova {importlib.metadata.version('nova')}, Python {platform.python_version()}, "
        f"{platform.machine()}; times are processor times"
    )
    expectations = report.Expectations()
    for name in [options.only] if options.only else BENCHMARKS:
        modules[name].main(expectations, options.quick)
    expectations.show()
    print(f"\n{time.monotonic() - start:.0f} s, at most {report.peak_mib():,.0f} MiB")


if __name__ == "__main__":
    main()
