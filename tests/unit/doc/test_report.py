# SPDX-License-Identifier: Apache-2.0
"""doc/source/report.rst lists the metrics that the code exports."""

import re
from pathlib import Path

from nova_gpu_passthrough.cloud.report.html_page import MOST_LARGE
from tests.unit.etc import exported

PAGE = Path(__file__).parents[3] / "doc" / "source" / "report.rst"
ROW = re.compile(r"^   \* - (``nova_gpu.*)\n     - ?(.*)$", re.MULTILINE)


def _documented_labels():
    labels_by_name = {}
    for names, labels in ROW.findall(PAGE.read_text(encoding="utf-8")):
        for name in re.findall(r"``(\w+)``", names):
            assert name not in labels_by_name
            labels_by_name[name] = set(labels.split(", ")) if labels else set()
    return labels_by_name


def test_every_metric_is_documented_with_its_labels():
    assert _documented_labels() == exported.labels_by_name()


def test_the_page_tells_from_how_many_hosts_on_they_are_small():
    text = " ".join(PAGE.read_text(encoding="utf-8").split())
    assert f"With more than {MOST_LARGE} hosts each is drawn small" in text
