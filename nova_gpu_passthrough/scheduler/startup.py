# SPDX-License-Identifier: Apache-2.0
"""Reads the options when nova-scheduler starts."""

from oslo_config import cfg
from oslo_log import log as logging

from nova_gpu_passthrough import conf as gpu_conf
from nova_gpu_passthrough.policies.base import Policy

LOG = logging.getLogger(__name__)


def configure(conf: cfg.ConfigOpts) -> Policy:
    """Register and check ``[gpu_passthrough]``.

    :raises SystemExit: after one line in the log if a value makes no sense, since a scheduler that
        places by other rules than the operator's does more harm than one that does not start
    """
    gpu_conf.register_opts(conf)
    try:
        return gpu_conf.check(conf)
    except gpu_conf.ConfigError as error:
        problem = str(error)
    # Not while the exception is handled: oslo.log would add it to the line once more.
    LOG.critical("Bad configuration of nova-scheduler: %s", problem)
    raise SystemExit(2)
