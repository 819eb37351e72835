# SPDX-License-Identifier: Apache-2.0
"""Resource classes that Nova derives from PCI ids."""

import pytest

from nova_gpu_passthrough.nova_rules import resource_names


def test_ids_are_read_from_the_class_that_nova_derives():
    name = resource_names.normalize_resource_class(None, "10de", "26b9")
    assert name == "CUSTOM_PCI_10DE_26B9"
    assert resource_names.ids_of(name) == ("10de", "26b9")


@pytest.mark.parametrize(
    "name", ["VGPU", "CUSTOM_PCI_10DE", "CUSTOM_PCI_10DE_26B9_X", "CUSTOM_GPU"]
)
def test_other_classes_have_no_ids(name):
    assert resource_names.ids_of(name) is None
