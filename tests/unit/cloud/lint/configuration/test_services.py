# SPDX-License-Identifier: Apache-2.0
from nova_gpu_passthrough.cloud.lint.configuration import services
from nova_gpu_passthrough.cloud.lint.configuration.config_files import Configuration
from nova_gpu_passthrough.cloud.lint.configuration.services import (
    CONTROL_PLANE,
    ConfiguredService,
    ServiceRole,
)


def test_replacements_replace_the_same_services():
    old, new = Configuration((), ()), Configuration((), (), False)
    services_found = [
        ConfiguredService(CONTROL_PLANE, "ctl", old),
        ConfiguredService((ServiceRole.COMPUTE,), "gpu1", old),
    ]
    replaced = services.replace_services(
        services_found, [ConfiguredService((ServiceRole.SCHEDULER,), "ctl", new)]
    )
    assert [(s.roles, s.host, s.configuration is new) for s in replaced] == [
        ((ServiceRole.API, ServiceRole.CONDUCTOR), "ctl", False),
        ((ServiceRole.COMPUTE,), "gpu1", False),
        ((ServiceRole.SCHEDULER,), "ctl", True),
    ]
