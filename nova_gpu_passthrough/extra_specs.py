# SPDX-License-Identifier: Apache-2.0
"""Extra specs of the ``gpu:`` namespace, validated by nova-api from microversion 2.86.

Nova loads this module through the entry point namespace ``nova.api.extra_spec_validators`` and
calls `register`. The scheduler reads the same extra specs by `parse`.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from oslo_utils import strutils

from nova_gpu_passthrough.topology.model import Preference

if TYPE_CHECKING:
    from nova.api.validation.extra_specs import base

NAMESPACE = "gpu"
_LEVELS = {level.value: level for level in Preference}
_NUMA_LEVELS = {level.value: level for level in (Preference.REQUIRED, Preference.PREFERRED)}
_PREFERENCES = {
    "gpu:link": (
        _LEVELS,
        (
            "Whether the GPUs of the server must (``required``) or should (``preferred``, the "
            "default) be in one link group (NVLink, NVSwitch partition, xGMI); ``none`` ignores "
            "links."
        ),
    ),
    "gpu:switch": (
        _LEVELS,
        (
            "Whether the GPUs of the server must (``required``) or should (``preferred``, the "
            "default) be behind one PCIe switch; ``none`` ignores switches."
        ),
    ),
    "gpu:numa": (
        _NUMA_LEVELS,
        (
            "``required`` keeps the GPUs of the server on as many host NUMA nodes as the server "
            "has NUMA cells (one if the flavor does not set ``hw:numa_nodes``). ``preferred``, "
            "the default, uses as few nodes as possible."
        ),
    ),
}
_COMPANIONS = "gpu:companions"


class InvalidExtraSpecError(ValueError):
    """A ``gpu:`` extra spec has an unknown key or an invalid value."""


class GpuExtraSpecs(NamedTuple):
    """The ``gpu:`` extra specs of a flavor."""

    link: Preference = Preference.PREFERRED
    switch: Preference = Preference.PREFERRED
    numa: Preference = Preference.PREFERRED
    companions: bool = True


def parse(extra_specs: Mapping[str, str]) -> GpuExtraSpecs:
    """Read the ``gpu:`` extra specs, which nova-api does not validate before microversion 2.86.

    :raises InvalidExtraSpecError: for an unknown key or an invalid value
    """
    values: dict[str, Preference | bool] = {}
    for key, value in extra_specs.items():
        namespace, _, name = key.partition(":")
        if namespace != NAMESPACE or not name:
            continue
        if key in _PREFERENCES:
            levels = _PREFERENCES[key][0]
            if value not in levels:
                raise InvalidExtraSpecError(
                    f"extra spec {key} is {value!r}, expected one of: {', '.join(levels)}"
                )
            values[name] = levels[value]
        elif key == _COMPANIONS:
            try:
                values[name] = strutils.bool_from_string(value, strict=True)
            except ValueError:
                raise InvalidExtraSpecError(
                    f"extra spec {key} is {value!r}, expected true or false"
                ) from None
        else:
            known = ", ".join([*_PREFERENCES, _COMPANIONS])
            raise InvalidExtraSpecError(f"extra spec {key} is unknown, expected one of: {known}")
    return GpuExtraSpecs(**values)  # type: ignore[arg-type]


def register() -> "list[base.ExtraSpecValidator]":
    """Return the validators, which nova-api requests when it starts."""
    from nova.api.validation.extra_specs import base

    validators = [
        base.ExtraSpecValidator(
            name=name, description=description, value={"type": str, "enum": list(levels)}
        )
        for name, (levels, description) in _PREFERENCES.items()
    ]
    validators.append(
        base.ExtraSpecValidator(
            name=_COMPANIONS,
            description=(
                "Whether companion functions (audio, USB) that the flavor requests by a separate "
                "alias must come from the cards of the server's GPUs. Default: true."
            ),
            value={"type": bool},
        )
    )
    return validators
