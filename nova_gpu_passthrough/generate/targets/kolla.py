# SPDX-License-Identifier: Apache-2.0
"""Override files of Kolla-Ansible, for ``node_custom_config`` (default ``/etc/kolla/config``).

Kolla-Ansible merges ``nova.conf``, ``nova/<service>.conf`` and ``nova/<inventory name>/nova.conf``
in this order (tasks/config.yml of the roles nova and nova-cell), and likewise for Placement; a
later value of an option replaces all earlier ones. It treats the files as Jinja templates, so no
JSON here has two braces in a row.
"""

from collections.abc import Iterator

from nova_gpu_passthrough.fleet.offers import CONTROL
from nova_gpu_passthrough.generate import provider_config
from nova_gpu_passthrough.generate.service_options import CloudOptions, UnsealedFile, to_ini

_CONFIG = "etc/kolla/config"
#: To be copied to the directory of Kolla's inventory.
_HOST_VARS = "etc/kolla/host_vars"
_REPLACES = "An option here replaces all its values in files that are merged before."
#: nova-super-conductor is the conductor of the API cell, nova-conductor of the other cells.
_SERVICES = ("nova-api", "nova-super-conductor", "nova-conductor")


def files(cloud: CloudOptions) -> Iterator[UnsealedFile]:
    """Yield a file for each service and each compute node, all for the deployment host."""
    for service in _SERVICES:
        yield UnsealedFile(
            CONTROL,
            f"{_CONFIG}/nova/{service}.conf",
            f"{service}: PCI aliases",
            to_ini(cloud.shared, f"Merged into the nova.conf of {service}. {_REPLACES}"),
        )
    yield UnsealedFile(
        CONTROL,
        f"{_CONFIG}/nova/nova-scheduler.conf",
        "nova-scheduler",
        to_ini(
            (*cloud.shared, *cloud.scheduler),
            f"Merged into the nova.conf of nova-scheduler. {_REPLACES}",
        ),
    )
    yield UnsealedFile(
        CONTROL,
        f"{_CONFIG}/placement.conf",
        "Placement",
        to_ini(cloud.placement, "Merged into placement.conf."),
    )
    for host, sections in cloud.computes.items():
        yield UnsealedFile(
            CONTROL,
            f"{_CONFIG}/nova/{host}/nova.conf",
            f"nova-compute of {host}",
            to_ini(
                (*cloud.shared, *sections),
                f"Merged into the nova.conf of {host}, which must be its name in Kolla's "
                f"inventory. {_REPLACES}",
            ),
        )
    for host, traits in cloud.traits.items():
        yield UnsealedFile(
            CONTROL,
            f"{_HOST_VARS}/{host}/gpu-passthrough.yml",
            f"{provider_config.PURPOSE}: {host}",
            provider_config.kolla(traits),
        )
