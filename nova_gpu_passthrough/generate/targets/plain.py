# SPDX-License-Identifier: Apache-2.0
"""Additional files in the directories that the services read by default.

oslo.config reads ``/etc/nova/nova.conf.d`` and ``/etc/placement/placement.conf.d`` after the
configuration file, unless a service is started with another ``--config-dir`` or with
``--config-file``, which is read last (``find_config_dirs``). An option that may be repeated has the
values of all files.
"""

from collections.abc import Iterator

from nova_gpu_passthrough.fleet.offers import CONTROL
from nova_gpu_passthrough.generate import provider_config
from nova_gpu_passthrough.generate.service_options import (
    CloudOptions,
    Section,
    UnsealedFile,
    to_ini,
)

_NOVA = "etc/nova/nova.conf.d"
_PLACEMENT = "etc/placement/placement.conf.d"
_DIRECTORY = (
    "Nova reads this directory after nova.conf. A service that is started with --config-file reads "
    "that file last: remove the options below from it."
)
_REPEATED = "An option that may be repeated has the values of all files:"


def files(cloud: CloudOptions) -> Iterator[UnsealedFile]:
    """Yield the file with the options of all Nova services, and one for each service."""
    yield _shared(CONTROL, cloud.shared)
    yield _file(
        CONTROL,
        f"{_NOVA}/91-gpu-passthrough-scheduler.conf",
        "nova-scheduler",
        cloud.scheduler,
        "Options of nova-scheduler.",
        f"{_DIRECTORY} enabled_filters and weight_classes replace the lists in other files: add "
        "your own filters and weighers here.",
    )
    yield _file(
        CONTROL,
        f"{_PLACEMENT}/90-gpu-passthrough.conf",
        "Placement",
        cloud.placement,
        "Options of Placement, which reads this directory after placement.conf.",
    )
    for host, sections in cloud.computes.items():
        yield _shared(host, cloud.shared)
        yield _file(
            host,
            f"{_NOVA}/91-gpu-passthrough-compute.conf",
            "nova-compute",
            sections,
            f"Options of nova-compute on {host}.",
            f"{_DIRECTORY} {_REPEATED} remove a device_spec that matches one of these devices from "
            "other files.",
        )
    for host, traits in cloud.traits.items():
        yield UnsealedFile(
            host, provider_config.PATH, provider_config.PURPOSE, provider_config.plain(traits)
        )


def _shared(host: str, sections: tuple[Section, ...]) -> UnsealedFile:
    return _file(
        host,
        f"{_NOVA}/90-gpu-passthrough-aliases.conf",
        "PCI aliases",
        sections,
        "The same file on nova-api, nova-conductor, nova-scheduler and every compute node.",
        f"{_DIRECTORY} {_REPEATED} Nova refuses an alias whose name is also in another file.",
    )


def _file(
    host: str, path: str, purpose: str, sections: tuple[Section, ...], *heading: str
) -> UnsealedFile:
    return UnsealedFile(host, path, purpose, to_ini(sections, "\n\n".join(heading)))
