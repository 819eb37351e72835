# SPDX-License-Identifier: Apache-2.0
"""The ``gpu:`` extra specs, read by the scheduler and validated by nova-api."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nova import exception
from nova.api.validation.extra_specs import validators

from nova_gpu_passthrough import extra_specs
from nova_gpu_passthrough.extra_specs import GpuExtraSpecs, InvalidExtraSpecError, parse
from nova_gpu_passthrough.topology.model import Preference

VALID = [
    *(("gpu:link", value) for value in ("required", "preferred", "none")),
    *(("gpu:switch", value) for value in ("required", "preferred", "none")),
    *(("gpu:numa", value) for value in ("required", "preferred")),
    *(("gpu:companions", value) for value in ("true", "false", "True", "no", "1", "off")),
]
INVALID = [
    ("gpu:link", ""),
    ("gpu:link", "Required"),
    ("gpu:link", "true"),
    ("gpu:switch", "yes"),
    ("gpu:numa", "none"),
    ("gpu:numa", "strict"),
    ("gpu:companions", "maybe"),
    ("gpu:companions", ""),
    ("gpu:lnik", "required"),
    ("gpu:Link", "required"),
    ("gpu:link:x", "required"),
]


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    """Register the validators with Nova's, as nova-api does if this package is installed."""
    known = dict(validators.VALIDATORS)
    known.update({validator.name: validator for validator in extra_specs.register()})
    monkeypatch.setattr(validators, "VALIDATORS", known)
    monkeypatch.setattr(validators, "NAMESPACES", validators.NAMESPACES | {"gpu"})


@pytest.mark.parametrize("key, value", VALID)
def test_valid_values_are_accepted_by_both(key, value):
    validators.validate(key, value)
    parse({key: value})


@pytest.mark.parametrize("key, value", INVALID)
def test_invalid_values_and_keys_are_refused_by_both(key, value):
    with pytest.raises(exception.ValidationError):
        validators.validate(key, value)
    with pytest.raises(InvalidExtraSpecError) as caught:
        parse({key: value})
    assert key in str(caught.value)
    assert "expected" in str(caught.value)


@settings(max_examples=200)
@given(
    st.sampled_from(["gpu:link", "gpu:switch", "gpu:numa", "gpu:companions", "gpu:other"]),
    st.text(max_size=10) | st.sampled_from([value for _, value in VALID]),
)
def test_both_agree_on_any_value(key, value):
    def refuses(check, error):
        try:
            check()
        except error:
            return True
        return False

    by_api = refuses(lambda: validators.validate(key, value), exception.ValidationError)
    by_scheduler = refuses(lambda: parse({key: value}), InvalidExtraSpecError)
    assert by_api == by_scheduler


def test_all_validators_are_registered_with_a_description():
    assert {"gpu:link", "gpu:switch", "gpu:numa", "gpu:companions"} <= set(validators.VALIDATORS)
    assert all(validator.description for validator in extra_specs.register())


def test_the_defaults():
    assert parse({}) == GpuExtraSpecs(
        Preference.PREFERRED, Preference.PREFERRED, Preference.PREFERRED, True
    )


def test_values_are_read():
    assert parse(
        {
            "gpu:link": "required",
            "gpu:switch": "none",
            "gpu:numa": "required",
            "gpu:companions": "false",
        }
    ) == GpuExtraSpecs(Preference.REQUIRED, Preference.NONE, Preference.REQUIRED, False)


@pytest.mark.parametrize(
    "key", ["hw:gpu", "gpu", "gpus:link", "trait:HW_GPU", "resources:PGPU", ""]
)
def test_other_namespaces_are_ignored(key):
    assert parse({key: "whatever"}) == GpuExtraSpecs()
