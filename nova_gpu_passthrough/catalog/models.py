# SPDX-License-Identifier: Apache-2.0
"""GPU models by PCI vendor and product id."""

import functools
from collections.abc import Mapping
from importlib import resources
from typing import NamedTuple

import yaml

#: The value of a GPU that is not in the catalogue: that of an average card.
DEFAULT_VALUE = 8.0


class GpuModel(NamedTuple):
    """A GPU model."""

    name: str
    memory_gib: int
    #: Relative value, T4 = 1.
    value: float


@functools.cache
def _models() -> Mapping[tuple[str, str], GpuModel]:
    text = resources.files(__package__).joinpath("models.yaml").read_text(encoding="utf-8")
    return {
        (entry["vendor"], product): GpuModel(entry["model"], entry["memory_gib"], entry["value"])
        for entry in yaml.safe_load(text)["gpus"]
        for product in entry["products"]
    }


def names() -> tuple[str, ...]:
    """Return the names of all models."""
    return tuple(dict.fromkeys(model.name for model in _models().values()))


def ids() -> Mapping[str, tuple[str, ...]]:
    """Return the ``vendor:product`` of each model by name."""
    by_name: dict[str, tuple[str, ...]] = {}
    for (vendor, product), model in _models().items():
        by_name[model.name] = (*by_name.get(model.name, ()), f"{vendor}:{product}")
    return by_name


def lookup(vendor_id: str, product_id: str) -> GpuModel | None:
    """Return the GPU model with these ids (four hex digits each, lower case), or None."""
    return _models().get((vendor_id, product_id))


@functools.cache
def _values() -> Mapping[str, float]:
    return {model.name: model.value for model in _models().values()}


def value_of(model: str, overrides: Mapping[str, float]) -> float:
    """Return the value of a model: the operator's, else the catalogue's, else the default."""
    value = overrides.get(model)
    return _values().get(model, DEFAULT_VALUE) if value is None else value
