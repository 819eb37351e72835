# SPDX-License-Identifier: Apache-2.0
"""The page: one HTML file that needs nothing else, made of a template."""

import base64
import functools
import hashlib
from importlib import metadata, resources

import jinja2
from markupsafe import Markup

from nova_gpu_passthrough.cloud.report import tables
from nova_gpu_passthrough.cloud.report.page import picture, words
from nova_gpu_passthrough.cloud.report.page.words import Look
from nova_gpu_passthrough.cloud.report.snapshot import Snapshot

#: With more hosts, each is drawn small.
MOST_LARGE = 24


def render(snapshot: Snapshot, compact: bool | None = None) -> str:
    """HTML text.

    :param compact: whether hosts are drawn small; None: if there are many
    """
    hosts = len(snapshot.view.hosts)
    style, script = _asset("style.css"), _asset("filter.js")
    text = _template().render(
        snapshot=snapshot,
        compact=hosts > MOST_LARGE if compact is None else compact,
        figures=list(tables.figures(snapshot)),
        model_bars=list(tables.model_bars(snapshot)),
        groups=picture.groups(snapshot),
        looks=list(Look),
        flavors=snapshot.capacity.flavors,
        most=tables.longest(snapshot.capacity.flavors),
        limit=tables.limit,
        stranded=list(tables.stranded(snapshot)),
        troubles=list(tables.troubles(snapshot)),
        waiting=list(tables.waiting(snapshot)),
        notes=tables.notes(snapshot),
        gpus=list(tables.gpus(snapshot)),
        words=words,
        style=style,
        script=script,
        policy=_policy(style, script),
        version=metadata.version("nova-gpu-passthrough"),
    )
    # Nova takes any text for a name; half a character of UTF-16 is in no file.
    return text.encode("utf-8", "replace").decode()


@functools.cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("nova_gpu_passthrough.cloud.report", "template"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html")


def _asset(name: str) -> Markup:
    """Our own text, which is not escaped."""
    folder = resources.files("nova_gpu_passthrough.cloud.report")
    return Markup(folder.joinpath("template", name).read_text(encoding="utf-8"))


def _policy(style: str, script: str) -> str:
    """Nothing is loaded and no script runs but ours, whatever a name of a server holds."""
    return f"default-src 'none'; style-src {_hash(style)}; script-src {_hash(script)}"


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"
