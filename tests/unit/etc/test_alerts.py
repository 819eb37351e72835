# SPDX-License-Identifier: Apache-2.0
"""The rules in etc/prometheus/gpu-alerts.yaml use metrics of the exporter."""

import re
from pathlib import Path

import pytest
import yaml

from nova_gpu_passthrough.cli.device import SERVER_STATUSES
from nova_gpu_passthrough.cli.main import NAMESPACE
from nova_gpu_passthrough.cloud.view.model import DeviceState
from tests.unit.cloud.report import fleets
from tests.unit.etc import exported

FILE = Path(__file__).parents[3] / "etc" / "prometheus" / "gpu-alerts.yaml"


@pytest.fixture(scope="module")
def rules():
    document = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    return [rule for group in document["groups"] for rule in group["rules"]]


def test_rules_use_only_exported_metrics(rules):
    known = exported.labels_by_name()
    for rule in rules:
        assert exported.NAME.search(rule["expr"])
        assert exported.unknown(rule["expr"], known) == []


def test_every_problem_has_an_alert(rules):
    text = " ".join(rule["expr"] for rule in rules)
    for name in (
        "nova_gpu_read_success",
        "nova_gpu_read_timestamp_seconds",
        "nova_gpu_host_up",
        "nova_gpu_stranded_devices",
        "nova_gpu_flavor_servers_possible",
        "nova_gpu_waiting_servers",
        "nova_gpu_servers",
    ):
        assert name in text
    states = set(re.findall(r'nova_gpu_devices\{state="([^"]*)"', text))
    assert states == {
        DeviceState.STUCK,
        DeviceState.MISSING,
        DeviceState.RESERVED,
        DeviceState.FREE,
    }


def test_idle_servers_are_those_of_the_lists(rules):
    (rule,) = [rule for rule in rules if "nova_gpu_servers{" in rule["expr"]]
    statuses = re.search(r'status=~"([^"]*)"', rule["expr"])[1].split("|")
    idle = [status for status in SERVER_STATUSES if fleets.server(1, status=status).is_idle]
    assert statuses == idle


def test_each_rule_has_a_severity_and_a_description(rules):
    names = [rule["alert"] for rule in rules]
    assert len(names) == len(set(names)) >= 10
    for rule in rules:
        assert re.fullmatch(r"\d+[mhd]", rule["for"])
        assert rule["labels"]["severity"] in ("critical", "warning", "info")
        assert set(rule["annotations"]) == {"summary", "description"}


def test_labels_in_texts_are_those_of_the_query(rules):
    known = exported.labels_by_name()
    for rule in rules:
        used = set(re.findall(r"\$labels\.(\w+)", str(rule["annotations"])))
        names = exported.NAME.findall(rule["expr"])
        kept = set.intersection(*(known[name] for name in names)) if used else set()
        for dropped in re.findall(r"without \(([^)]*)\)", rule["expr"]):
            kept -= set(re.findall(r"\w+", dropped))
        assert used <= kept | exported.GIVEN


def test_commands_that_are_named_exist(rules):
    from importlib.metadata import entry_points

    commands = {point.name.replace("_", " ") for point in entry_points(group=NAMESPACE)}
    for rule in rules:
        for command in re.findall(r"nova-gpu ((?:[a-z]+ ?)+)", rule["annotations"]["description"]):
            words = command.split()
            assert {" ".join(words[:1]), " ".join(words[:2])} & commands, command
