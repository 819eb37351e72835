# SPDX-License-Identifier: Apache-2.0
"""Measure the cost of filter, weigher and audit, and the quality of choices.

Run it by ``python -m tests.benchmarks``.

``hosts`` and ``servers`` build Nova's own objects; ``filtering``, ``scale``, ``policies``,
``plain``, ``decisions``, ``audit`` and ``startup`` measure; ``report`` prints. Importing this
package prepares Nova: native threads, no configuration files, log level INFO as in production.
"""

import logging
import os
import warnings

os.environ.setdefault("OS_NOVA_DISABLE_EVENTLET_PATCHING", "true")

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import nova.conf
    from nova import objects

    from nova_gpu_passthrough import conf as gpu_conf

CONF = nova.conf.CONF


def prepare() -> None:
    """Do what nova-scheduler does when it starts, without services."""
    CONF([], project="nova", version="benchmarks", default_config_files=[])
    CONF.set_override("pci_in_placement", True, group="filter_scheduler")
    gpu_conf.register_opts(CONF)
    objects.register_all()
    logging.getLogger().setLevel(logging.INFO)
    # Lines are formatted and written to no file.
    handler = logging.StreamHandler(open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    logging.getLogger().handlers = [handler]
