# SPDX-License-Identifier: Apache-2.0
"""GPU models by PCI vendor and product id."""

import functools
from collections.abc import Mapping
from importlib import resources
from typing import NamedTuple

import yaml

#: Value of a GPU that the catalogue does not know: that of a middling card.
DEFAULT_VALUE = 8.0


class Model(NamedTuple):
    """A GPU model."""

    name: str
    memory_gib: int
    #: Rank by worth, T4 = 1.
    value: float


@functools.cache
def _models() -> Mapping[tuple[str, str], Model]:
    text = resources.files(__package__).joinpath("models.yaml").read_text(encoding="utf-8")
    return {
        (entry["vendor"], product): Model(entry["model"], entry["memory_gib"], entry["value"])
        for entry in yaml.safe_load(text)["gpus"]
        for product in entry["products"]
    }


def names() -> tuple[str, ...]:
    """Names of all models."""
    return tuple(dict.fromkeys(model.name for model in _models().values()))


def ids() -> Mapping[str, tuple[str, ...]]:
    """``vendor:product`` of each model, by name."""
    found: dict[str, tuple[str, ...]] = {}
    for (vendor, product), model in _models().items():
        found[model.name] = (*found.get(model.name, ()), f"{vendor}:{product}")
    return found


def lookup(vendor_id: str, product_id: str) -> Model | None:
    """The GPU model with these ids (four hex digits each, lower case), or None."""
    return _models().get((vendor_id, product_id))


@functools.cache
def _values() -> Mapping[str, float]:
    return {model.name: model.value for model in _models().values()}


def value_of(model: str, overrides: Mapping[str, float]) -> float:
    """A model's worth by name: the operator's word, the catalogue's, or the default."""
    value = overrides.get(model)
    return _values().get(model, DEFAULT_VALUE) if value is None else value
