# SPDX-License-Identifier: Apache-2.0
"""Render the page: one HTML file without external resources, made from a template."""

import base64
import functools
import hashlib
import re
from importlib import metadata, resources

import jinja2
from markupsafe import Markup, escape

from nova_gpu_passthrough.cloud.report import (
    availability,
    fleet_picture,
    fleet_status,
    formatting,
    redaction,
    tables,
)
from nova_gpu_passthrough.cloud.report.availability import Availability
from nova_gpu_passthrough.cloud.report.formatting import DisplayState
from nova_gpu_passthrough.cloud.report.snapshot import Snapshot
from nova_gpu_passthrough.cloud.report.status_reading import StatusReading

#: With more hosts than this, each host is drawn small.
MOST_LARGE = 24


def render_public(snapshot: Snapshot) -> str:
    """Return a page that everyone may read, with the document of what is free."""
    return render(redaction.redact(snapshot), document=availability.build(snapshot))


def render(
    snapshot: Snapshot,
    compact: bool | None = None,
    document: Availability | None = None,
    reading: StatusReading | None = None,
) -> str:
    """Return the page as HTML.

    :param compact: whether hosts are drawn small; None: if there are many
    :param document: what is free, for programs
    :param reading: the status with quotas and what lint found; None: without these
    """
    status = reading.status if reading else fleet_status.make(snapshot)
    hosts = len(snapshot.view.hosts)
    style, script = _asset("style.css"), _asset("filter.js")
    text = _template().render(
        snapshot=snapshot,
        compact=hosts > MOST_LARGE if compact is None else compact,
        figures=list(tables.figures(snapshot)),
        model_bars=list(tables.model_bars(snapshot)),
        groups=fleet_picture.groups(snapshot),
        display_states=list(DisplayState),
        flavors=snapshot.capacity.flavors,
        most_servers=tables.most_servers(snapshot.capacity.flavors),
        limit=tables.limit,
        stranded=list(tables.stranded(snapshot)),
        letters=bool(snapshot.view.device_servers),
        document=Markup(availability.embed(document)) if document else "",
        domains=list(tables.domains(snapshot)),
        problems=[] if snapshot.public else list(tables.problems(snapshot)),
        status=None if snapshot.public else status,
        servers=list(tables.servers(snapshot)),
        waiting=list(tables.waiting(snapshot)),
        notes=list(reading.notes) if reading else tables.notes(snapshot),
        gpus=[] if snapshot.public else list(tables.gpus(snapshot)),
        formatting=formatting,
        style=style,
        script=script,
        policy=_security_policy(style, script),
        version=metadata.version("nova-gpu-passthrough"),
    )
    # Nova accepts any text as a name, even lone surrogates of UTF-16, which UTF-8 cannot encode.
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
    environment.filters["commands"] = _commands
    return environment.get_template("page.html")


def _commands(text: str) -> Markup:
    """Escape a text, and mark its commands, which stand in backquotes."""
    return Markup(re.sub("`([^`]+)`", r"<code>\1</code>", str(escape(text))))


def _asset(name: str) -> Markup:
    """Read a file of the template folder, which is trusted and not escaped."""
    folder = resources.files("nova_gpu_passthrough.cloud.report")
    return Markup(folder.joinpath("template", name).read_text(encoding="utf-8"))


def _security_policy(style: str, script: str) -> str:
    """Return a Content-Security-Policy that allows only our own style and script.

    So a name of a server cannot inject any, whatever it contains.
    """
    return f"default-src 'none'; style-src {_hash(style)}; script-src {_hash(script)}"


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"
