# SPDX-License-Identifier: Apache-2.0
import pytest

from nova_gpu_passthrough.errors import UserError
from nova_gpu_passthrough.fleet.releases import NEWEST, SUPPORTED, first_with, parse


@pytest.mark.parametrize("text", ["34", "2026.2"])
def test_a_release_is_known_by_number_and_by_series(text):
    assert parse(text) is NEWEST


@pytest.mark.parametrize("text", ["30", "35", "2024.2", "bobcat", ""])
def test_an_unknown_release_is_an_error_that_names_the_known_ones(text):
    with pytest.raises(UserError, match=r"expected one of 31 \(2025.1\), 32 .*, 34 \(2026.2\)"):
        parse(text)


def test_one_time_use_came_with_32():
    assert [parse(number).one_time_use for number in ("31", "32", "33", "34")] == [
        False,
        True,
        True,
        True,
    ]


def test_the_first_release_with_a_feature():
    assert first_with("one_time_use") is parse("32")
    assert str(first_with("counts_aliases")) == "Nova 34 (2026.2)"


def test_supported_releases_are_named_by_number_and_by_series():
    assert SUPPORTED == "31 to 34, or 2025.1 to 2026.2"


def test_each_release_has_the_newest_microversion_of_its_api():
    versions = [parse(number).microversion for number in ("31", "32", "33", "34")]
    assert versions == [(2, 100), (2, 100), (2, 103), (2, 104)]
