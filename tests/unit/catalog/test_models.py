# SPDX-License-Identifier: Apache-2.0
"""The catalogue of GPU models."""

import re
from collections import Counter
from importlib import resources

import pytest
import yaml

from nova_gpu_passthrough.catalog import models

TEXT = resources.files("nova_gpu_passthrough.catalog").joinpath("models.yaml").read_text("utf-8")
ENTRIES = yaml.safe_load(TEXT)["gpus"]


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry["model"])
def test_an_entry_is_complete(entry):
    assert set(entry) == {"model", "vendor", "products", "memory_gib", "value"}
    assert re.fullmatch(r"[A-Za-z0-9-]+", entry["model"])
    assert entry["memory_gib"] > 0
    assert 0 < entry["value"] <= 40
    assert entry["products"]
    # Without quotes, YAML reads 2330 and 1e10 as numbers.
    for id_ in (entry["vendor"], *entry["products"]):
        assert isinstance(id_, str)
        assert re.fullmatch(r"[0-9a-f]{4}", id_)


def test_no_device_and_no_name_is_listed_twice():
    devices = Counter((entry["vendor"], p) for entry in ENTRIES for p in entry["products"])
    assert max(devices.values()) == 1
    assert max(Counter(entry["model"] for entry in ENTRIES).values()) == 1


@pytest.mark.parametrize(
    "vendor, product, name",
    [
        ("10de", "2330", "H100-SXM"),
        ("10de", "1eb8", "T4"),
        ("10de", "26b9", "L40S"),
        ("10de", "2901", "B200"),
        ("1002", "74a1", "MI300X"),
        ("8086", "0bd5", "Max-1550"),
        ("1da3", "1060", "Gaudi3"),
    ],
)
def test_lookup_by_ids(vendor, product, name):
    assert models.lookup(vendor, product).name == name


@pytest.mark.parametrize(
    "vendor, product",
    [("10de", "22a3"), ("10de", "22ba"), ("10de", "1ad7"), ("15b3", "101e"), ("1002", "2330")],
)
def test_switches_companions_and_nics_are_not_gpus(vendor, product):
    assert models.lookup(vendor, product) is None


def test_the_t4_is_the_unit_of_value():
    assert models.value_of("T4", {}) == 1


def test_newer_models_have_a_higher_value():
    values = [
        models.value_of(name, {}) for name in ("T4", "L40S", "A100-SXM-80GB", "H100-SXM", "B200")
    ]
    assert values == sorted(values)
    assert len(set(values)) == 5


def test_the_operators_value_wins():
    assert models.value_of("T4", {"T4": 0.0}) == 0.0
    assert models.value_of("own", {"own": 3.5}) == 3.5


def test_an_unknown_model_has_the_default_value():
    assert models.value_of("own", {}) == models.DEFAULT_VALUE


def test_lookup_finds_each_model_by_each_of_its_ids():
    assert set(models.ids()) == set(models.names())
    for name, ids in models.ids().items():
        assert ids
        for one in ids:
            assert models.lookup(*one.split(":")).name == name
