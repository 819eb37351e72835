# SPDX-License-Identifier: Apache-2.0
"""Lists that have something to say by their exit status."""

import argparse

from cliff.lister import Lister


class StatusLister(Lister):
    """Ends with ``status``, which `take_action` may set."""

    status = 0

    def run(self, parsed_args: argparse.Namespace) -> int:
        """Run the command and return its exit status."""
        super().run(parsed_args)
        return self.status
