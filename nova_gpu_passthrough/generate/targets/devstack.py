# SPDX-License-Identifier: Apache-2.0
"""Fragments of DevStack's local.conf.

DevStack merges ``[[post-config|FILE]]`` into a file after it has configured the services
(inc/meta-config). nova-compute has its own file, ``$NOVA_CPU_CONF``, which is first a copy of
``$NOVA_CONF`` (lib/nova); a repeated option replaces all its values. The shell applies ``read`` and
``eval`` in double quotes to each value, so quotes in a value need two backslashes.
"""

from collections.abc import Iterator

from nova_gpu_passthrough.fleet.offers import CONTROL
from nova_gpu_passthrough.generate import provider_config
from nova_gpu_passthrough.generate.service_options import (
    CloudOptions,
    Option,
    Section,
    UnsealedFile,
    comment,
    to_ini,
)

_PATH = "local.conf"


def files(cloud: CloudOptions) -> Iterator[UnsealedFile]:
    """Yield a fragment for the control plane and one for each compute node."""
    yield UnsealedFile(
        CONTROL,
        _PATH,
        "local.conf: API, conductor, scheduler, Placement",
        comment("Append to local.conf of the controller.")
        + _group("$NOVA_CONF", (*cloud.shared, *cloud.scheduler))
        + _group("$PLACEMENT_CONF", cloud.placement),
    )
    for host, sections in cloud.computes.items():
        yield UnsealedFile(
            host,
            _PATH,
            "local.conf: nova-compute",
            comment(
                f"Append to local.conf of {host}. If the host is also the controller, append the "
                "controller's fragment first."
            )
            + _group("$NOVA_CPU_CONF", (*cloud.shared, *sections)),
        )
    for host, traits in cloud.traits.items():
        yield UnsealedFile(
            host, provider_config.PATH, provider_config.PURPOSE, provider_config.plain(traits)
        )


def _group(file: str, sections: tuple[Section, ...]) -> str:
    return f"\n[[post-config|{file}]]\n" + to_ini(
        Section(section.name, tuple(_quoted(option) for option in section.options))
        for section in sections
    )


def _quoted(option: Option) -> Option:
    return option._replace(values=tuple(value.replace('"', r"\\" + '"') for value in option.values))
