# SPDX-License-Identifier: Apache-2.0
"""The examples of policies in ``etc/policy`` permit one role more than the defaults do."""

import pytest
import yaml
from nova import policies as nova_policies
from placement import policies as placement_policies

from tests.checkout import ROOT

ADDED = " or role:auditor"
RULES = {
    module.__name__.partition(".")[0]: {rule.name: rule.check_str for rule in module.list_rules()}
    for module in (nova_policies, placement_policies)
}
#: Rules whose defaults are different in Nova 31, as the file says.
NEWER = {f"os_compute_api:os-migrations:index{suffix}" for suffix in ("", ":all_projects", ":host")}
IS_OLD = NEWER - RULES["nova"].keys()


def load(name):
    return yaml.safe_load((ROOT / "etc/policy" / f"{name}.yaml").read_text())


@pytest.mark.parametrize("service", RULES)
def test_each_rule_is_the_default_with_one_more_role(service):
    for name, check in load(service).items():
        if not (IS_OLD and name in NEWER):
            assert check == RULES[service][name] + ADDED


@pytest.mark.parametrize("service", ["keystone", *RULES])
def test_only_reading_is_permitted(service):
    rules = load(service)
    assert rules
    for name, check in rules.items():
        assert check.endswith(ADDED)
        assert not any(word in name for word in ("create", "update", "delete", "add", "remove"))
