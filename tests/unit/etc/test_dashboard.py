# SPDX-License-Identifier: Apache-2.0
"""The dashboard etc/grafana/gpu-fleet.json shows the metrics of the exporter."""

import itertools
import json
import re
from pathlib import Path

import pytest

from nova_gpu_passthrough.cloud.view.model import DeviceState
from tests.unit.etc import exported

FILE = Path(__file__).parents[3] / "etc" / "grafana" / "gpu-fleet.json"
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}


@pytest.fixture(scope="module")
def dashboard():
    return json.loads(FILE.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def queries(dashboard):
    found = {
        f"{panel['title']} {target['refId']}": target["expr"]
        for panel in dashboard["panels"]
        for target in panel.get("targets", ())
    }
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            found[f"variable {variable['name']}"] = variable["query"]["query"]
    return found


def test_queries_use_only_exported_metrics(queries):
    known = exported.labels_by_name()
    unknown = {where: exported.unknown(expression, known) for where, expression in queries.items()}
    assert {where: names for where, names in unknown.items() if names} == {}
    assert len(queries) > 40


def test_every_exported_metric_is_shown(queries):
    shown = {name for expression in queries.values() for name in exported.NAME.findall(expression)}
    assert set(exported.labels_by_name()) == shown


def test_states_are_spelled_as_in_the_code(dashboard, queries):
    text = " ".join(queries.values())
    words = [
        word for states in re.findall(r'state=~?"([^"]*)"', text) for word in states.split("|")
    ]
    assert set(words) == set(DeviceState)
    for panel in dashboard["panels"]:
        if "by (state)" in str(panel.get("targets")):
            colours = {each["matcher"]["options"] for each in panel["fieldConfig"]["overrides"]}
            assert colours == set(DeviceState)


def test_it_works_with_any_prometheus(dashboard):
    for panel in dashboard["panels"]:
        if panel["type"] != "row":
            assert panel["datasource"] == DATASOURCE
            assert all(target["datasource"] == DATASOURCE for target in panel["targets"])
    first = dashboard["templating"]["list"][0]
    assert (first["name"], first["type"], first["query"]) == (
        "datasource",
        "datasource",
        "prometheus",
    )
    # A dashboard that is exported for sharing has them, and requests them at each import.
    assert "__inputs" not in dashboard
    assert "id" not in dashboard


def test_variables_that_are_used_are_defined(dashboard, queries):
    defined = {variable["name"] for variable in dashboard["templating"]["list"]}
    used = {
        name
        for expression in queries.values()
        for name in re.findall(r"\$(\w+)", expression)
        if not name.startswith("__")
    }
    assert used <= defined
    assert defined - used == {"datasource"}


def test_it_has_the_last_classic_schema(dashboard):
    """Grafana's apps/dashboard/pkg/migration/schemaversion; v2 is another format."""
    assert dashboard["schemaVersion"] == 42
    assert isinstance(dashboard["refresh"], str)


def test_panels_do_not_overlap(dashboard):
    panels = {}
    for panel in dashboard["panels"]:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24
        for cell in itertools.product(
            range(at["x"], at["x"] + at["w"]), range(at["y"], at["y"] + at["h"])
        ):
            assert cell not in panels, (panel["title"], panels[cell])
            panels[cell] = panel["title"]
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(ids) == len(set(ids))


def test_tables_hide_and_rename_what_their_queries_return(dashboard):
    tables = [panel for panel in dashboard["panels"] if panel["type"] == "table"]
    assert len(tables) == 4
    for panel in tables:
        options = panel["transformations"][-1]["options"]
        letters = [target["refId"] for target in panel["targets"]]
        values = {f"Value #{letter}" for letter in letters} if len(letters) > 1 else {"Value"}
        named = {*options["renameByName"], *options["excludeByName"]}
        assert values <= named
        shown = {*options["renameByName"].values()}
        styled = {each["matcher"]["options"] for each in panel["fieldConfig"]["overrides"]}
        assert styled <= shown
