# SPDX-License-Identifier: Apache-2.0
"""Log why hosts are refused: one line with counts at INFO, one line per host at DEBUG."""

from oslo_log import log as logging

from nova_gpu_passthrough.nova_rules.refusal import format_counts
from nova_gpu_passthrough.topology.fit import FitRefusal

LOG = logging.getLogger(__name__)

#: How many distinct warnings are remembered, so that memory use is bounded.
_MAX_WARNINGS = 10_000


class RefusalLog:
    """Counts of the hosts that pass the filter for one request and that are refused, by reason."""

    def __init__(self, server: str, request: str) -> None:
        self.server = server
        self.request = request
        self.passed = 0
        #: False until a host is counted: some aliases request GPUs on certain hosts only.
        self.concerns_gpus = False
        self.refusal_counts: dict[str, int] = {}

    def count_passed(self) -> None:
        """Count a host that passes."""
        self.passed += 1
        self.concerns_gpus = True

    def count_refused(self, host: str, refusal: FitRefusal) -> None:
        """Count a host that is refused, and log the details at DEBUG."""
        reason = refusal.reason.value
        self.concerns_gpus = True
        self.refusal_counts[reason] = self.refusal_counts.get(reason, 0) + 1
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

    def log_summary(self, level: int) -> None:
        """Log the counts of one request in one line."""
        total = self.passed + sum(self.refusal_counts.values())
        reasons = format_counts(self.refusal_counts)
        LOG.log(
            level,
            "GPU request %(request)s of server %(server)s: %(passed)d of %(total)d hosts fit"
            "%(refused)s",
            {
                "request": self.request,
                "server": self.server,
                "passed": self.passed,
                "total": total,
                "refused": f"; refused: {reasons}" if reasons else "",
            },
        )


class HostWarnings:
    """Warnings about hosts, each of which is logged once, up to a limit."""

    def __init__(self) -> None:
        self._logged: set[tuple[str, str]] = set()

    def warn(self, host: str, problem: str, consequence: str) -> None:
        """Log a warning unless the same problem of the host was logged before."""
        if (host, problem) in self._logged:
            return
        if len(self._logged) >= _MAX_WARNINGS:
            return
        self._logged.add((host, problem))
        LOG.warning(
            "Host %(host)s: %(problem)s; %(consequence)s",
            {"host": host, "problem": problem, "consequence": consequence},
        )
        if len(self._logged) == _MAX_WARNINGS:
            LOG.warning("No more warnings about hosts are logged until nova-scheduler is restarted")
