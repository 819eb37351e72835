# SPDX-License-Identifier: Apache-2.0
"""Nova's objects and options, ready for tests; every test gets its options back unchanged."""

import os

# Before Nova 33 the import of Nova's API has eventlet patch files, sockets and threads of the whole
# process: the tests of nova-gpu, which imports no Nova, need the real ones, and no unit test needs
# eventlet's.
os.environ.setdefault("OS_NOVA_DISABLE_EVENTLET_PATCHING", "true")

import warnings

import pytest

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import nova.conf

from oslo_config import fixture as config_fixture

from nova_gpu_passthrough import conf as gpu_conf

gpu_conf.register_opts(nova.conf.CONF)


@pytest.fixture(scope="session")
def fake_entry_point():
    """A way to install a policy for the length of a test."""
    return _install


def _install(monkeypatch, **classes):
    from stevedore import extension

    real = extension.ExtensionManager.list_entry_points

    def with_ours(manager):
        found = list(real(manager))
        if manager.namespace == "nova_gpu_passthrough.policies":
            found += [_EntryPoint(name, plugin) for name, plugin in classes.items()]
        return found

    monkeypatch.setattr(extension.ExtensionManager, "list_entry_points", with_ours)


class _EntryPoint:
    """What stevedore needs of an importlib.metadata.EntryPoint."""

    group = "nova_gpu_passthrough.policies"

    def __init__(self, name, plugin):
        self.name = name
        self.value = f"third_party:{plugin.__name__}"
        self._plugin = plugin

    def load(self):
        return self._plugin


@pytest.fixture
def options():
    """Set options of [gpu_passthrough], or of the group given first, for one test."""
    fixture = config_fixture.Config(nova.conf.CONF)
    fixture.setUp()

    def set_options(group=gpu_conf.GROUP.name, **values):
        fixture.config(group=group, **values)

    yield set_options
    fixture.cleanUp()


@pytest.fixture
def logged(caplog):
    """What this package logs: ``logged("WARNING")`` gives the messages of that level."""
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
