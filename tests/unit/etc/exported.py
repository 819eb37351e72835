# SPDX-License-Identifier: Apache-2.0
"""What the exporter tells of a cloud that has something of everything."""

import re

from prometheus_client import CollectorRegistry, generate_latest

from nova_gpu_passthrough.cloud.report.exporter import Exporter
from tests.unit.cloud.report import fleets

#: A metric of ours in a query or a text.
NAME = re.compile(r"\bnova_gpu(?:_[a-z]+)+\b")
#: A selector of PromQL: name and labels that it asks for.
SELECTOR = re.compile(r"\b(nova_gpu(?:_[a-z]+)+)(?:\{([^}]*)\})?")
#: Labels that Prometheus gives to every series.
GIVEN = {"instance", "job"}


def labels_by_name():
    """Names of labels by metric."""
    exporter, registry = Exporter(fleets.four), CollectorRegistry()
    registry.register(exporter)
    exporter.refresh()
    found = {}
    for line in generate_latest(registry).decode().splitlines():
        if not line.startswith("#"):
            name, _, rest = line.partition("{")
            names = re.findall(r'(\w+)="', rest)
            found.setdefault(name.split()[0], set()).update(names)
    return found


def unknown(expression, exported):
    """What a query asks for that is not exported."""
    wrong = []
    for name, selector in SELECTOR.findall(expression):
        if name not in exported:
            wrong.append(name)
            continue
        for label in re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", selector):
            if label not in exported[name] | GIVEN:
                wrong.append(f"{name}{{{label}}}")
    every = set().union(*exported.values()) | GIVEN
    for names in re.findall(r"\b(?:by|without|on|ignoring)\s*\(([^)]*)\)", expression):
        wrong += [name for name in re.findall(r"\w+", names) if name not in every]
    return wrong
