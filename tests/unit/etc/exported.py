# SPDX-License-Identifier: Apache-2.0
"""The metrics that the exporter reports for a cloud with all kinds of objects."""

import re

from prometheus_client import CollectorRegistry, generate_latest

from nova_gpu_passthrough.cloud.report.exporter import Exporter
from tests.unit.cloud.report import fleets

#: A metric of the exporter in a query or a text.
NAME = re.compile(r"\bnova_gpu(?:_[a-z]+)+\b")
#: A selector of PromQL: a name and labels.
SELECTOR = re.compile(r"\b(nova_gpu(?:_[a-z]+)+)(?:\{([^}]*)\})?")
#: Labels that Prometheus adds to every series.
GIVEN = {"instance", "job"}


def labels_by_name():
    """Return the names of labels by metric."""
    found = {}
    for take in (fleets.four, lambda: fleets.many(16, racks=True)):
        exporter, registry = Exporter(take), CollectorRegistry()
        registry.register(exporter)
        exporter.refresh()
        for line in generate_latest(registry).decode().splitlines():
            if not line.startswith("#"):
                name, _, rest = line.partition("{")
                names = re.findall(r'(\w+)="', rest)
                found.setdefault(name.split()[0], set()).update(names)
    return found


def unknown(expression, exported):
    """Return the metrics and labels of a query that are not exported."""
    missing = []
    for name, selector in SELECTOR.findall(expression):
        if name not in exported:
            missing.append(name)
            continue
        for label in re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", selector):
            if label not in exported[name] | GIVEN:
                missing.append(f"{name}{{{label}}}")
    all_labels = set().union(*exported.values()) | GIVEN
    for names in re.findall(r"\b(?:by|without|on|ignoring)\s*\(([^)]*)\)", expression):
        missing += [name for name in re.findall(r"\w+", names) if name not in all_labels]
    return missing
