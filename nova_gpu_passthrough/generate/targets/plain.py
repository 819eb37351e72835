# SPDX-License-Identifier: Apache-2.0
"""Files beside the packages' own, in the directories that the services read by default.

oslo.config reads ``/etc/nova/nova.conf.d`` and ``/etc/placement/placement.conf.d`` after the
configuration file, unless a service is started with another ``--config-dir`` or with
``--config-file``, which is read last (``find_config_dirs``). The values of options that may be
repeated count together over all files.
"""

from collections.abc import Iterator

from nova_gpu_passthrough.fleet.offers import CONTROL
from nova_gpu_passthrough.generate import provider_config
from nova_gpu_passthrough.generate.options import CloudOptions, Draft, Section, to_ini

_NOVA = "etc/nova/nova.conf.d"
_PLACEMENT = "etc/placement/placement.conf.d"
_DIRECTORY = (
    "Nova reads this directory after nova.conf. A service that is started with --config-file reads "
    "that file last: take the options below out of it."
)
_REPEATED = "An option that may be repeated has the values of all files:"


def files(cloud: CloudOptions) -> Iterator[Draft]:
    """One file for what all Nova services share, one for each service besides."""
    yield _shared(CONTROL, cloud.shared)
    yield _draft(
        CONTROL,
        f"{_NOVA}/91-gpu-passthrough-scheduler.conf",
        "nova-scheduler",
        cloud.scheduler,
        "Options of nova-scheduler.",
        f"{_DIRECTORY} enabled_filters and weight_classes replace the lists in other files: name "
        "filters and weighers of your own here, too.",
    )
    yield _draft(
        CONTROL,
        f"{_PLACEMENT}/90-gpu-passthrough.conf",
        "Placement",
        cloud.placement,
        "Options of Placement, which reads this directory after placement.conf.",
    )
    for host, sections in cloud.computes.items():
        yield _shared(host, cloud.shared)
        yield _draft(
            host,
            f"{_NOVA}/91-gpu-passthrough-compute.conf",
            "nova-compute",
            sections,
            f"Options of nova-compute on {host}.",
            f"{_DIRECTORY} {_REPEATED} take a device_spec that fits one of these devices out of "
            "other files.",
        )
    for host, traits in cloud.traits.items():
        yield Draft(
            host, provider_config.PATH, provider_config.PURPOSE, provider_config.plain(traits)
        )


def _shared(host: str, sections: tuple[Section, ...]) -> Draft:
    return _draft(
        host,
        f"{_NOVA}/90-gpu-passthrough-aliases.conf",
        "PCI aliases",
        sections,
        "The same file on nova-api, nova-conductor, nova-scheduler and every compute node.",
        f"{_DIRECTORY} {_REPEATED} an alias whose name is in another file, too, is an error to "
        "Nova.",
    )


def _draft(
    host: str, path: str, purpose: str, sections: tuple[Section, ...], *heading: str
) -> Draft:
    return Draft(host, path, purpose, to_ini(sections, "\n\n".join(heading)))
