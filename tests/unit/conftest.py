# SPDX-License-Identifier: Apache-2.0
"""Set up Nova's objects and options for tests; options are reset after each test."""

import os
import re

# Before Nova 33, importing Nova's API makes eventlet patch files, sockets and threads of the whole
# process. The tests of nova-gpu, which does not import Nova, need the original ones, and no unit
# test needs those of eventlet.
os.environ.setdefault("OS_NOVA_DISABLE_EVENTLET_PATCHING", "true")

import warnings

import pytest

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import nova.conf

from oslo_config import fixture as config_fixture

from nova_gpu_passthrough import conf as gpu_conf
from nova_gpu_passthrough.inventory.findings import Finding
from tests import pasteable
from tests.checkout import ROOT

gpu_conf.register_opts(nova.conf.CONF)


#: How many different fixes of one finding are checked: each one starts a shell.
_FIXES_OF_A_FINDING = 20
_DOCUMENTED = re.compile(r"^   ``([a-z0-9_.]+)``, ", re.MULTILINE)


@pytest.fixture(scope="session", autouse=True)
def _every_fix_can_be_pasted():
    """Check the fixes of all documented findings that any test makes."""
    original, pages = Finding.__init__, ROOT / "doc" / "source"
    texts = [(pages / name).read_text("utf-8") for name in ("findings.rst", "lint.rst")]
    checked = {name: set() for text in texts for name in _DOCUMENTED.findall(text)}

    def make(finding, *arguments, **keywords):
        original(finding, *arguments, **keywords)
        fixes = checked.get(finding.id)
        if fixes is not None and finding.fix not in fixes and len(fixes) < _FIXES_OF_A_FINDING:
            fixes.add(finding.fix)
            pasteable.check(finding.fix)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Finding, "__init__", make)
        yield


@pytest.fixture(scope="session")
def fake_entry_point():
    """A function that installs policies for the duration of a test."""
    return _install


def _install(monkeypatch, **classes):
    from stevedore import extension

    real = extension.ExtensionManager.list_entry_points

    def with_classes(manager):
        entry_points = list(real(manager))
        if manager.namespace == "nova_gpu_passthrough.policies":
            entry_points += [_EntryPoint(name, plugin) for name, plugin in classes.items()]
        return entry_points

    monkeypatch.setattr(extension.ExtensionManager, "list_entry_points", with_classes)


class _EntryPoint:
    """The part of importlib.metadata.EntryPoint that stevedore uses."""

    group = "nova_gpu_passthrough.policies"

    def __init__(self, name, plugin):
        self.name = name
        self.value = f"third_party:{plugin.__name__}"
        self._plugin = plugin

    def load(self):
        return self._plugin


@pytest.fixture
def options():
    """A function that sets options of [gpu_passthrough], or of another group, for one test."""
    fixture = config_fixture.Config(nova.conf.CONF)
    fixture.setUp()

    def set_options(group=gpu_conf.GROUP.name, **values):
        fixture.config(group=group, **values)

    yield set_options
    fixture.cleanUp()


@pytest.fixture
def logged(caplog):
    """A function that returns the messages that this package logged at a level."""
    caplog.set_level("DEBUG")

    def messages(level, containing=""):
        return [
            record.getMessage()
            for record in caplog.records
            if record.levelname == level
            and record.name.startswith("nova_gpu_passthrough")
            and containing in record.getMessage()
        ]

    return messages
