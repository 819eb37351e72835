# SPDX-License-Identifier: Apache-2.0
"""The options of all services of a cloud, before a deployment tool's form."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from nova_gpu_passthrough.generate.options import Section


@dataclass(frozen=True)
class CloudOptions:
    """Options by who reads them."""

    #: The same on API, conductor, scheduler and compute nodes.
    shared: tuple[Section, ...]
    #: nova-scheduler's besides.
    scheduler: tuple[Section, ...]
    placement: tuple[Section, ...]
    #: nova-compute's besides, by host.
    computes: Mapping[str, tuple[Section, ...]]
    #: Custom traits of the compute nodes' own providers, by host; hosts without are left out.
    traits: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


class Draft(NamedTuple):
    """A file without its seal."""

    host: str
    path: str
    purpose: str
    text: str
