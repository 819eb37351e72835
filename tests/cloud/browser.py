# SPDX-License-Identifier: Apache-2.0
"""Pages in headless Chromium, from Debian's package."""

from __future__ import annotations

import functools
import html
import json
import os
import re
import shutil
import subprocess
import tempfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests import debian
from tests.debian import Unavailable

_TIMEOUT = 120
#: Loads the page into frames as wide as a window, and reports their content.
_FRAMES = """<!DOCTYPE html><meta charset="utf-8">
<style>iframe {{ border: 0; height: 800px }}</style>
{frames}<pre id="found"></pre>
<script>
  // Types into the page's field and returns which hosts are left.
  const narrowed = (root) => {{
    const field = root.querySelector("#query");
    field.value = {host_filter};
    field.dispatchEvent(new Event("input"));
    const hosts = [...root.querySelectorAll(".host")].filter((host) => !host.hidden);
    return hosts.map((host) => host.querySelector("h4 bdi").textContent);
  }};
  const look = (frame) => {{
    const root = frame.contentDocument.documentElement, style = frame.contentWindow;
    const tiles = [...root.querySelectorAll("svg.gpu")];
    return {{
      width: root.clientWidth,
      needed: root.scrollWidth,
      tiles: tiles.length,
      drawn: tiles.filter((tile) => tile.getBoundingClientRect().width > 5).length,
      hosts: narrowed(root),
      racks: [...root.querySelectorAll(".rack")].filter((rack) => !rack.hidden).length,
      paper: style.getComputedStyle(frame.contentDocument.body).backgroundColor,
    }};
  }};
  addEventListener("load", () => {{
    const frames = [...document.querySelectorAll("iframe")];
    document.getElementById("found").textContent = JSON.stringify(frames.map(look));
  }});
</script>
"""


@dataclass(frozen=True)
class Seen:
    """A page in a window of some width."""

    #: Widths of the window and of its content, in CSS pixels.
    width: int
    needed: int
    #: Number of tiles in the document, and of those that are visible.
    tiles: int
    drawn: int
    #: Names of the hosts that the page's filter shows.
    hosts: list[str]
    #: Number of the racks of these hosts.
    racks: int
    #: The background colour.
    paper: str


@functools.cache
def program() -> str:
    """Return Chromium's path; install Chromium if running as root.

    :raises Unavailable: if it is not installed and cannot be
    """
    if found := shutil.which("chromium"):
        return found
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise Unavailable(
            "Debian's package chromium is not installed, and only root can install it."
        )
    debian.install(["chromium"])
    if found := shutil.which("chromium"):
        return found
    raise Unavailable("Debian's package chromium has no program chromium.")


def look(
    page: Path, widths: Sequence[int], dark: bool = False, host_filter: str = ""
) -> tuple[list[Seen], list[str]]:
    """Open a page in windows of these widths; return the views and the console messages.

    :param host_filter: text to enter into the page's filter
    """
    frames = "\n".join(
        f'<iframe src="{html.escape(page.resolve().as_uri())}" style="width: {width}px"></iframe>'
        for width in widths
    )
    # An end tag ends a script even inside a string.
    text = json.dumps(host_filter).replace("</", "<\\/")
    with tempfile.TemporaryDirectory() as folder:
        outer = Path(folder) / "frames.html"
        outer.write_text(_FRAMES.format(frames=frames, host_filter=text), encoding="utf-8")
        done = _run(folder, dark, "--dump-dom", "--allow-file-access-from-files", outer.as_uri())
    found = re.search(r'<pre id="found">(.*?)</pre>', done.stdout, re.DOTALL)
    assert found, done.stderr
    messages = re.findall(r"^.*:CONSOLE.*$", done.stderr, re.MULTILINE)
    return [Seen(**each) for each in json.loads(html.unescape(found[1]))], messages


def screenshot(page: Path, image: Path, width: int, height: int, dark: bool = False) -> None:
    """Write a screenshot of the page to a PNG file."""
    with tempfile.TemporaryDirectory() as folder:
        _run(
            folder,
            dark,
            f"--window-size={width},{height}",
            "--hide-scrollbars",
            f"--screenshot={image}",
            page.resolve().as_uri(),
        )


def colours(image: Path) -> int:
    """Return the number of distinct bytes in a PNG file's rows: a few, if one colour fills them."""
    data, rows, at = image.read_bytes(), b"", 8
    while at < len(data):
        length, kind = int.from_bytes(data[at : at + 4]), data[at + 4 : at + 8]
        if kind == b"IDAT":
            rows += data[at + 8 : at + 8 + length]
        at += 12 + length
    return len(set(zlib.decompress(rows)))


def _run(folder: str, dark: bool, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [
        program(),
        "--headless",
        "--disable-gpu",
        "--disable-background-networking",
        "--no-first-run",
        "--enable-logging=stderr",
        f"--user-data-dir={folder}/profile",
        # Blink's mojom::PreferredColorScheme: 0 is dark, 1 is light.
        f"--blink-settings=preferredColorScheme={0 if dark else 1}",
        # Chromium's sandbox does not run as root.
        *(["--no-sandbox"] if os.geteuid() == 0 else []),
        *arguments,
    ]
    return subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT, check=True)
