# SPDX-License-Identifier: Apache-2.0
"""Fragments of DevStack's local.conf.

``[[post-config|FILE]]`` is merged into a file after the services are configured (inc/meta-config).
nova-compute has a file of its own, ``$NOVA_CPU_CONF``, that begins as a copy of ``$NOVA_CONF``
(lib/nova); an option that is repeated replaces all values of it. Each value passes through
``read`` and ``eval`` of the shell within double quotes, so its quotes need two backslashes.
"""

from collections.abc import Iterator

from nova_gpu_passthrough.fleet.offers import CONTROL
from nova_gpu_passthrough.generate import provider_config
from nova_gpu_passthrough.generate.options import (
    CloudOptions,
    Draft,
    Option,
    Section,
    comment,
    to_ini,
)

_PATH = "local.conf"


def files(cloud: CloudOptions) -> Iterator[Draft]:
    """One fragment for the control plane, one for each compute node."""
    yield Draft(
        CONTROL,
        _PATH,
        "local.conf: API, conductor, scheduler, Placement",
        comment("Append to local.conf of the controller.")
        + _group("$NOVA_CONF", (*cloud.shared, *cloud.scheduler))
        + _group("$PLACEMENT_CONF", cloud.placement),
    )
    for host, sections in cloud.computes.items():
        yield Draft(
            host,
            _PATH,
            "local.conf: nova-compute",
            comment(
                f"Append to local.conf of {host}. Where it is the controller, too, its fragment "
                "goes before this one."
            )
            + _group("$NOVA_CPU_CONF", (*cloud.shared, *sections)),
        )
    for host, traits in cloud.traits.items():
        yield Draft(
            host, provider_config.PATH, provider_config.PURPOSE, provider_config.plain(traits)
        )


def _group(file: str, sections: tuple[Section, ...]) -> str:
    return f"\n[[post-config|{file}]]\n" + to_ini(
        Section(section.name, tuple(_quoted(option) for option in section.options))
        for section in sections
    )


def _quoted(option: Option) -> Option:
    return option._replace(values=tuple(value.replace('"', r"\\" + '"') for value in option.values))
