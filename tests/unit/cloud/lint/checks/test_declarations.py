# SPDX-License-Identifier: Apache-2.0
"""Every module of ``checks`` declares a check and is run."""

import pkgutil

from nova_gpu_passthrough.cloud.lint import checks
from nova_gpu_passthrough.cloud.lint.check import Check


def test_every_module_is_run_once():
    modules = [module.name for module in pkgutil.iter_modules(checks.__path__)]
    assert sorted(checks.MODULES) == sorted(modules)
    assert all(isinstance(check, Check) for check in checks.CHECKS)
