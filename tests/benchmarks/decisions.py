# SPDX-License-Identifier: Apache-2.0
"""Count how often multi-GPU servers get the best set of GPUs available on their host."""

import itertools
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from nova import objects
from nova.scheduler import filters

from nova_gpu_passthrough.scheduler.filters import GpuPassthroughFilter
from tests.benchmarks import hosts, report, servers, timing

_SEED = 2026
_SIZES = (1, 2, 4, 8)
_WEIGHTS = (40, 30, 20, 10)
#: Share of all GPUs in use; servers are deleted at random to keep it.
_LOAD = 0.7


@dataclass(frozen=True)
class Mode:
    """The NUMA properties of the servers."""

    title: str
    numa: bool
    policy: str | None


MODES = (
    Mode("no guest NUMA topology", False, None),
    Mode("hw:numa_nodes, numa_policy preferred", True, "preferred"),
    Mode("hw:numa_nodes, numa_policy legacy", True, None),
)


@dataclass
class Host:
    """A host and the devices that it started with."""

    number: int
    board: hosts.Board
    state: Any
    #: Pools that the host started with, by provider.
    devices: dict[str, dict[str, Any]] = field(default_factory=dict)

    def free(self) -> list[int]:
        """Return the numbers of the free GPUs in ascending order."""
        numbers = {hosts.provider(self.number, gpu): gpu for gpu in range(hosts.GPUS)}
        return sorted(numbers[pool["rp_uuid"]] for pool in self.state.pci_stats.pools)

    def release(self, providers: Iterable[str]) -> None:
        """Return the devices of a deleted server to the pools, as the compute node would."""
        pools = self.state.pci_stats.pools
        pools += [dict(self.devices[provider]) for provider in providers]
        pools.sort(key=len)


@dataclass
class Count:
    """The results of one mode for one side."""

    placed: int = 0
    refused: int = 0
    multi: int = 0
    best: int = 0
    #: Servers with more link groups, or more NUMA nodes, than necessary.
    more_links: int = 0
    more_nodes: int = 0

    @property
    def share(self) -> float:
        """Return the share of multi-GPU servers with the best set."""
        return self.best / max(1, self.multi)


def _fleet(each: int) -> list[Host]:
    fleet = []
    for number in range(3 * each):
        board = (hosts.HGX, hosts.BRIDGED, hosts.UNLINKED)[number % 3]
        state = hosts.host(number, board)
        pools = {pool["rp_uuid"]: dict(pool) for pool in state.pci_stats.pools}
        fleet.append(Host(number, board, state, pools))
    return fleet


def rank(host: Host, gpus: Sequence[int]) -> tuple[int, int]:
    """Count link groups and NUMA nodes of a set from the board, without using the filter's code."""
    groups = {
        f"alone{gpu}" if (name := host.board.link_group(gpu)) is None else name.split("/")[0]
        for gpu in gpus
    }
    return len(groups), len({gpu * hosts.NODES // hosts.GPUS for gpu in gpus})


def judge(host: Host, free: Sequence[int], chosen: Sequence[int], count: Count) -> None:
    """Compare a choice with every free set of the same size on the host."""
    every = [rank(host, gpus) for gpus in itertools.combinations(free, len(chosen))]
    links, nodes = rank(host, chosen)
    least_links, least_nodes = min(r[0] for r in every), min(r[1] for r in every)
    count.multi += 1
    count.more_links += links > least_links
    count.more_nodes += nodes > least_nodes
    count.best += (links, nodes) == (least_links, least_nodes)


class Side:
    """A fleet and the filters that select its hosts."""

    def __init__(self, mode: Mode, chain: list[filters.BaseHostFilter], fleet: list[Host]) -> None:
        self.mode = mode
        self.chain = chain
        self.fleet = fleet
        self.count = Count()
        self.running: dict[int, tuple[Host, list[str]]] = {}
        ours = [filter_ for filter_ in chain if isinstance(filter_, GpuPassthroughFilter)]
        self.rewrites = bool(ours)
        for filter_ in ours:
            filter_._rng = random.Random(_SEED)  # repeatable ties

    def place(self, server: int, gpus: int, seed: int) -> None:
        """Place a server on the first host in random order that passes the filters."""
        rng = random.Random(seed)
        for host in rng.sample(self.fleet, len(self.fleet)):
            free = host.free()
            if len(free) < gpus:
                continue
            spec = servers.request(
                gpus, board=host.board, numa=self.mode.numa, policy=self.mode.policy
            )
            most = servers.MAX_CANDIDATES // len(self.fleet)
            offered = servers.candidates(host.number, spec, most, free, host.board)
            rng.shuffle(offered)
            claimed = self._choose(host, spec, offered)
            if claimed is None:
                continue
            providers = [claimed["mappings"][g.requester_id][0] for g in spec.requested_resources]
            host.state.pci_stats.apply_requests(spec.pci_requests.requests, claimed["mappings"])
            self.running[server] = (host, providers)
            self.count.placed += 1
            after = host.free()
            chosen = [gpu for gpu in free if gpu not in after]
            if len(chosen) != gpus:
                raise RuntimeError(f"{len(chosen)} GPUs were consumed instead of {gpus}")
            if gpus > 1:
                judge(host, free, chosen, self.count)
            return
        self.count.refused += 1

    def _choose(
        self, host: Host, spec: objects.RequestSpec, offered: list[dict[str, Any]]
    ) -> dict[str, Any] | None:
        """Return the candidate that nova-scheduler claims: the first that the filters leave."""
        if self.rewrites:
            return self._first_left(host, spec, offered)
        # Equal to filtering all of them, without checking one set of devices twice.
        checked = set()
        for one in offered:
            devices = frozenset(one["allocations"])
            if devices not in checked and self._first_left(host, spec, [one]):
                return one
            checked.add(devices)
        return None

    def _first_left(
        self, host: Host, spec: objects.RequestSpec, offered: list[dict[str, Any]]
    ) -> dict[str, Any] | None:
        host.state.allocation_candidates = offered
        host.state.limits = {}
        passed = timing.run(self.chain, [host.state], spec)
        first: dict[str, Any] | None = host.state.allocation_candidates[0] if passed else None
        return first

    def delete(self, server: int) -> None:
        """Delete a server if it was placed on this side."""
        if server in self.running:
            host, providers = self.running.pop(server)
            host.release(providers)


def churn(mode: Mode, arrivals: int, each: int) -> tuple[Side, Side]:
    """Create and delete the same servers on two equal fleets."""
    ours = Side(mode, timing.with_ours(), _fleet(each))
    in_tree = Side(mode, timing.in_tree(), _fleet(each))
    rng = random.Random(_SEED)
    alive: dict[int, int] = {}
    for server in range(arrivals):
        gpus = rng.choices(_SIZES, _WEIGHTS)[0]
        alive[server] = gpus
        seed = rng.getrandbits(32)
        for side in (ours, in_tree):
            side.place(server, gpus, seed)
        while sum(alive.values()) > _LOAD * hosts.GPUS * len(ours.fleet):
            gone = rng.choice(list(alive))
            del alive[gone]
            for side in (ours, in_tree):
                side.delete(gone)
    return ours, in_tree


def main(expectations: report.Expectations, quick: bool) -> None:
    """Measure and print, and compare with the expectations."""
    arrivals, each = (100, 3) if quick else (300, 4)
    rows = []
    shares = []
    for mode in MODES:
        report.progress(f"decisions: {mode.title}")
        ours, in_tree = churn(mode, arrivals, each)
        for title, side in (("ours + in-tree", ours), ("in-tree", in_tree)):
            count = side.count
            rows.append(
                [
                    f"{mode.title}: {title}",
                    str(count.placed),
                    str(count.refused),
                    str(count.multi),
                    f"{count.share:.1%}",
                    str(count.more_links),
                    str(count.more_nodes),
                ]
            )
        shares.append((ours.count, in_tree.count))
    report.heading(
        f"Decisions: {arrivals} servers come and go on {3 * each} hosts with 8 GPUs (seed {_SEED})"
    )
    report.table(
        ["", "placed", "refused", "multi-GPU", "best set", "excess links", "excess nodes"],
        rows,
        [
            "Hosts: a third each HGX (NVSwitch, nested partitions), PCIe with bridged pairs, PCIe.",
            (
                f"Servers of 1/2/4/8 GPUs as {'/'.join(map(str, _WEIGHTS))}%; random ones are "
                f"deleted to keep {_LOAD:.0%} of the GPUs requested."
            ),
            (
                "Placement's candidates: the first 1,000 of all hosts in generation order, then "
                "shuffled, as Placement returns a set."
            ),
            (
                "Both sides try the hosts in the same random order and use the first that passes; "
                "the claim is the first candidate left."
            ),
            (
                "Best set: no set of free GPUs of that host had fewer link groups or fewer NUMA "
                "nodes (brute force over all sets)."
            ),
        ],
    )
    expectations.add(
        "100% of multi-GPU servers get the best link group and NUMA set of their host",
        all(ours.best == ours.multi for ours, _ in shares),
        "; ".join(f"{ours.share:.1%} (in-tree {in_tree.share:.1%})" for ours, in_tree in shares),
    )
