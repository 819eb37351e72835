# SPDX-License-Identifier: Apache-2.0
"""Why hosts are refused, counted for one line at INFO and told one by one at DEBUG."""

from oslo_log import log as logging

from nova_gpu_passthrough.nova_rules.why_not import counted
from nova_gpu_passthrough.topology.fit import Refusal

LOG = logging.getLogger(__name__)

#: How many distinct warnings are remembered; a cloud with more has other worries.
_MOST_WARNINGS = 10_000


class Tally:
    """Counts the hosts of one pass through the filter."""

    def __init__(self, server: str, request: str) -> None:
        self.server = server
        self.request = request
        self.fitting = 0
        #: Which aliases ask for GPUs may show only on the hosts.
        self.concerns_gpus = False
        self.refused: dict[str, int] = {}

    def fits(self) -> None:
        """Count a host that passes."""
        self.fitting += 1
        self.concerns_gpus = True

    def refuses(self, host: str, refusal: Refusal) -> None:
        """Count a host that is refused."""
        reason = refusal.reason.value
        self.concerns_gpus = True
        self.refused[reason] = self.refused.get(reason, 0) + 1
        LOG.debug(
            "Host %(host)s refused for GPU request %(request)s of server %(server)s: "
            "%(reason)s (%(detail)s)",
            {
                "host": host,
                "request": self.request,
                "server": self.server,
                "reason": reason,
                "detail": refusal.detail,
            },
        )

    def log(self, level: int) -> None:
        """Write the one line."""
        total = self.fitting + sum(self.refused.values())
        reasons = counted(self.refused)
        LOG.log(
            level,
            "GPU request %(request)s of server %(server)s: %(fitting)d of %(total)d hosts fit"
            "%(refused)s",
            {
                "request": self.request,
                "server": self.server,
                "fitting": self.fitting,
                "total": total,
                "refused": f"; refused: {reasons}" if reasons else "",
            },
        )


class Warnings:
    """Says the same thing about the same host once."""

    def __init__(self) -> None:
        self._said: set[tuple[str, str]] = set()

    def warn(self, host: str, problem: str, consequence: str) -> None:
        """Warn unless that was said before."""
        if (host, problem) in self._said:
            return
        if len(self._said) < _MOST_WARNINGS:
            self._said.add((host, problem))
        LOG.warning(
            "Host %(host)s: %(problem)s; %(consequence)s",
            {"host": host, "problem": problem, "consequence": consequence},
        )
