# SPDX-License-Identifier: Apache-2.0
"""Base class of the tests that run an embedded cloud."""

from __future__ import annotations

import unittest
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from tests.embedded.cloud import EmbeddedCloud
from tests.embedded.fleet import GpuHost


class GpuCloudTest(unittest.TestCase):
    """Run each test in its own cloud, ``self.cloud``.

    At the end, check that Nova, Placement and libvirt agree on the server of every device.

    A class sets its hosts and options in ``hosts`` and ``options``; a test that needs others leaves
    ``hosts`` empty and calls :meth:`start_cloud`.
    """

    hosts: ClassVar[Iterable[GpuHost]] = ()
    #: Keyword arguments of EmbeddedCloud.
    options: ClassVar[Mapping[str, Any]] = {}

    #: For tests that move servers: see EmbeddedCloud.check_consistency.
    tolerate_moves: ClassVar[bool] = False

    cloud: EmbeddedCloud

    def setUp(self) -> None:
        super().setUp()
        if self.hosts:
            self.start_cloud(self.hosts)

    def start_cloud(self, hosts: Iterable[GpuHost], **options: Any) -> EmbeddedCloud:
        """Start ``self.cloud``; ``options`` override those of the class."""
        self.cloud = EmbeddedCloud(hosts, **{**self.options, **options})
        self.cloud.start()
        self.addCleanup(self.cloud.stop)
        self.addCleanup(self.check_at_end)
        return self.cloud

    def check_at_end(self) -> None:
        """Override in a test that leaves the cloud inconsistent on purpose."""
        self.cloud.check_consistency(self.tolerate_moves)
