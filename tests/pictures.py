# SPDX-License-Identifier: Apache-2.0
"""Make the pictures of README and documentation: ``python -m tests.pictures [DIRECTORY]``.

The report page of a synthetic fleet in headless Chromium, and a plot of ``nova-gpu simulate``, each
for light and dark mode. With the same Chromium and matplotlib the files are the same.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from PIL import Image

from nova_gpu_passthrough.cloud.report import html_page
from nova_gpu_passthrough.simulator import batch, plot, scenario
from nova_gpu_passthrough.simulator.outcome import Summary
from tests.checkout import ROOT
from tests.cloud import browser
from tests.debian import Unavailable
from tests.unit.cloud.report import fleets

DIRECTORY = ROOT / "doc" / "source" / "images"
MODES = ("light", "dark")
_PAGE_SIZE = (1100, 1200)
#: Colours of a picture: more are not seen, and make it large.
_COLOURS = 128
_RANKERS = ("nova", "spread", "pack", "fragmentation")
_SEEDS = 10
_HOSTS = 40
_HOST = "128000,1048576,8,H100-SXM"
#: GPUs of a server, and how often it is requested; CPUs and RAM grow with the GPUs.
_MIX = {1: 40, 2: 20, 3: 15, 4: 15, 8: 10}


def main(directory: Path = DIRECTORY) -> int:
    try:
        report(directory)
    except Unavailable as error:
        print(error, file=sys.stderr)
        return 2
    simulation(directory)
    return 0


def report(directory: Path) -> None:
    """Write report-light.png and report-dark.png."""
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "gpus.html"
        page.write_text(html_page.render(fleets.four()), encoding="utf-8")
        for mode in MODES:
            image = directory / f"report-{mode}.png"
            browser.screenshot(page, image, *_PAGE_SIZE, dark=mode == "dark")
            _shrink(image)


def simulation(directory: Path) -> None:
    """Write simulation-light.png and simulation-dark.png."""
    with tempfile.TemporaryDirectory() as folder:
        loaded = scenario.load(_sources(Path(folder)))
    outcomes = batch.run_all(batch.replay, loaded.simulation, _RANKERS, _SEEDS, 1, None)
    summaries = [Summary(name, by_seed) for name, by_seed in outcomes.items()]
    for mode in MODES:
        image = directory / f"simulation-{mode}.png"
        plot.course(image, summaries, times=False, theme=plot.Theme[mode.upper()])
        _shrink(image)


def _sources(folder: Path) -> scenario.ScenarioSources:
    nodes, mix = folder / "nodes.csv", folder / "mix.yaml"
    hosts = [f"gpu{number:02},{_HOST}" for number in range(_HOSTS)]
    nodes.write_text("\n".join(["sn,cpu_milli,memory_mib,gpu,model", *hosts, ""]))
    classes = [
        f"  - {{name: g{gpus}, count: {count}, gpus: {gpus}, vcpus: {14 * gpus}, "
        f"ram_mib: {112 * 1024 * gpus}}}"
        for gpus, count in _MIX.items()
    ]
    head = ["schema: nova-gpu-passthrough/mix", "version: 1", "classes:"]
    mix.write_text("\n".join([*head, *classes, ""]))
    return scenario.ScenarioSources(nodes, mix=mix)


def _shrink(path: Path) -> None:
    with Image.open(path) as image:
        small = image.convert("RGB").quantize(_COLOURS, Image.Quantize.MEDIANCUT)
    small.save(path, optimize=True)


if __name__ == "__main__":
    sys.exit(main(*map(Path, sys.argv[1:])))
