# SPDX-License-Identifier: Apache-2.0
"""The module that a web server loads in place of ``placement.wsgi.api``.

For instance with uWSGI: ``module = nova_gpu_passthrough.placement.wsgi:application``.
"""

import os

from oslo_config import cfg
from placement import conf, wsgi

from nova_gpu_passthrough.placement.middleware import DeviceCandidates

#: The environment variable with Placement's configuration directory, and the file in it.
_DIRECTORY, _FILE = "OS_PLACEMENT_CONFIG_DIR", "placement.conf"


def init_application() -> DeviceCandidates:
    """Return Placement's application, with `DeviceCandidates` around it.

    It reads the same files as Placement itself (placement/wsgi/__init__.py).
    """
    inner = wsgi.init_application()
    config = cfg.ConfigOpts()
    conf.register_opts(config)
    directory = os.environ.get(_DIRECTORY, "").strip()
    files = [os.path.join(directory, _FILE)] if directory else None
    config([], project="placement", default_config_files=files)
    return DeviceCandidates(
        inner,
        config.placement.max_allocation_candidates,
        config.placement.randomize_allocation_candidates,
    )


application = init_application()
