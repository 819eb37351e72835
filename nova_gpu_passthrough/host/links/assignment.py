# SPDX-License-Identifier: Apache-2.0
"""Decides between the sources: the operator, saved outputs, xGMI files, hwloc, the catalogue.

The first source that tells of a GPU is believed. Partitions (the parts of a path after the first)
are claimed only where the fabric manager's list or module ids say which GPU is which, or the
operator: the order of PCI addresses does not.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from nova_gpu_passthrough.catalog import boards
from nova_gpu_passthrough.catalog.boards import Board, Fabric
from nova_gpu_passthrough.host.links import operator_groups, partitions, report
from nova_gpu_passthrough.host.links.cliques import cliques, components, neighbours
from nova_gpu_passthrough.host.links.located import Located, Pairs, locate
from nova_gpu_passthrough.host.links.tool_output import LinkText, combine
from nova_gpu_passthrough.inventory.findings import Finding
from nova_gpu_passthrough.inventory.pci import Gpu, PciDevice, Role
from nova_gpu_passthrough.topology.tags import LINK_SEPARATOR

#: `Gpu.link_source` of what is not from a file.
OPERATOR, XGMI, HWLOC, CATALOGUE = "operator", "xgmi", "hwloc", "catalogue"
_NAMES = {Fabric.NVSWITCH: "nvs", Fabric.NVLINK: "nvl", Fabric.XGMI: "xgmi"}
_XGMI_FILES = "/sys/bus/pci/devices/*/xgmi_hive_info/xgmi_hive_id"
_CATALOGUE = "catalogue of boards, by PCI ids and counts"


@dataclass(frozen=True, slots=True)
class Links:
    """The links of a host's GPUs."""

    #: Link group and partitions inside by PCI address; GPUs without are missing.
    paths: Mapping[str, tuple[str, ...]]
    #: Who says so, by PCI address.
    sources: Mapping[str, str]
    #: Joined GPUs that a source named one by one, by PCI address.
    peers: Mapping[str, tuple[str, ...]]
    findings: tuple[Finding, ...]

    def applied_to(self, gpus: Iterable[Gpu]) -> tuple[Gpu, ...]:
        """The GPUs with their links."""
        return tuple(
            replace(
                gpu,
                link_group=self.paths.get(gpu.address, ()),
                link_source=self.sources.get(gpu.address),
                peers=self.peers.get(gpu.address, gpu.peers),
            )
            for gpu in gpus
        )


@dataclass(frozen=True, slots=True)
class _Evidence:
    """What one source says."""

    name: str
    #: Where it was read, for findings.
    read_in: str
    settled: frozenset[str]
    pairs: Pairs
    switched: frozenset[str] = frozenset()


def assign(
    devices: Iterable[PciDevice],
    gpus: Iterable[Gpu],
    texts: Iterable[LinkText] = (),
    hives: Mapping[str, str] | None = None,
    words: Iterable[str] = (),
    *,
    drivers_told: bool = True,
) -> Links:
    """Link groups of a host.

    :param devices: all PCI functions of the host
    :param gpus: its GPUs; their ``peers``, as hwloc's export tells them, are one of the sources
    :param texts: saved outputs, from ``texts.read``
    :param hives: xGMI hive ids by PCI address, from ``hives.read``
    :param words: the operator's, ``NAME=ADDRESS,ADDRESS,...``
    :param drivers_told: False where a device without driver may have one, as in hwloc's exports
    :raises UserError: if the operator's words do not fit the host
    """
    return _Assignment(tuple(devices), tuple(gpus), texts, hives or {}).run(
        tuple(words), drivers_told
    )


class _Assignment:
    def __init__(
        self,
        devices: Sequence[PciDevice],
        gpus: Sequence[Gpu],
        texts: Iterable[LinkText],
        hives: Mapping[str, str],
    ) -> None:
        self.devices = {device.address: device for device in devices}
        self.gpus = sorted(gpu.address for gpu in gpus)
        #: Virtual functions have no links of their own.
        self.physical = [gpu for gpu in self.gpus if self.devices[gpu].physical_function is None]
        self.switches = [d for d in self.devices.values() if d.role is Role.NVSWITCH]
        self.located = [locate(text, devices) for text in combine(texts)]
        self.boards = self._boards()
        # What shows the far ends of GPUs' links does not show links between NVSwitches.
        across = frozenset(
            gpu
            for board, members in self.boards
            if board.joined_by is Fabric.NVSWITCH
            for gpu in members
        )
        self.evidence = [
            *(_of_text(located, across) for located in self.located if located.settled),
            _of_hives({gpu: hives[gpu] for gpu in self.gpus if gpu in hives}),
            _of_peers(gpus, across),
        ]
        self.paths: dict[str, tuple[str, ...]] = {}
        self.sources: dict[str, str] = {}
        self.peers: dict[str, tuple[str, ...]] = {}
        self.findings = [finding for located in self.located for finding in located.findings]

    def run(self, words: Sequence[str], drivers_told: bool) -> Links:
        self.paths.update(operator_groups.parse(words, self.gpus))
        self.sources.update(dict.fromkeys(self.paths, OPERATOR))
        self._check_operator()
        self._check_boards()
        done = set(self.paths)
        for evidence in self.evidence:
            done |= self._believe(evidence, done)
        for board, members in self.boards:
            pairs = {frozenset((a, b)): 1 for a in members for b in members if a < b}
            settled = frozenset(members)
            self._believe(_Evidence(CATALOGUE, _CATALOGUE, settled, pairs), done)
            done |= settled
            self._report_missing(board, members)
        unknown = [
            gpu
            for gpu in self.physical
            if gpu not in done and self.devices[gpu].ids in boards.linkable()
        ]
        if len(unknown) > 1:
            self.findings.append(report.unknown(unknown))
        self._report_operator()
        self._report_down()
        if drivers_told:
            self._report_fabrics()
        return Links(self.paths, self.sources, self.peers, tuple(self.findings))

    def _boards(self) -> list[tuple[Board, list[str]]]:
        found = boards.recognise(
            [self.devices[gpu].ids for gpu in self.physical], [d.ids for d in self.switches]
        )
        return [
            (board, [gpu for gpu in self.physical if self.devices[gpu].ids in board.products])
            for board in found
        ]

    def _board_of(self, members: Collection[str]) -> Board | None:
        return next((b for b, on_board in self.boards if set(members) <= set(on_board)), None)

    def _believe(self, evidence: _Evidence, done: Collection[str]) -> frozenset[str]:
        """Take the groups of the GPUs that no better source told of; the GPUs it tells of."""
        new = evidence.settled - set(done)
        joined = neighbours(new, evidence.pairs)
        groups = cliques(joined)
        for members in groups:
            self._group(members, evidence)
        for gpu, others in joined.items():
            if others and evidence.name != CATALOGUE:
                self.peers[gpu] = tuple(sorted(others))
        for component in components(joined):
            inside = [members for members in groups if component.issuperset(members)]
            if len(component) > 1 and len(inside[0]) < len(component):
                self.findings.append(report.mesh(sorted(component), inside, evidence.read_in))
        if new and not groups:
            self.findings.append(report.none(sorted(new), evidence.read_in))
        return new

    def _group(self, members: Sequence[str], evidence: _Evidence) -> None:
        board = self._board_of(members)
        name = self._name(_NAMES[self._fabric(members, evidence, board)])
        tree, source = self._partitions(members, board)
        for gpu in members:
            self.paths[gpu] = (name, *tree.get(gpu, ()))
            self.sources[gpu] = evidence.name
        self.findings.append(report.group(name, members, evidence.read_in))
        if tree:
            inner = [self.paths[gpu] for gpu in members if len(self.paths[gpu]) > 1]
            self.findings.append(report.partitions(inner, source))
        elif board is not None and board.joined_by is Fabric.NVSWITCH and len(members) > 2:
            self.findings.append(report.partitions_unknown(name, bool(board.partitions)))

    def _name(self, prefix: str) -> str:
        taken = {path[0] for path in self.paths.values()}
        number = 0
        while f"{prefix}{number}" in taken:
            number += 1
        return f"{prefix}{number}"

    def _fabric(self, members: Sequence[str], evidence: _Evidence, board: Board | None) -> Fabric:
        if board is not None:
            return board.joined_by
        if self.devices[members[0]].vendor_id == "1002":
            return Fabric.XGMI
        if self.switches or evidence.switched.issuperset(members):
            return Fabric.NVSWITCH
        return Fabric.NVLINK

    def _partitions(
        self, members: Sequence[str], board: Board | None
    ) -> tuple[Mapping[str, tuple[str, ...]], str]:
        """Partitions of a group's members and who tells them; empty if it is not known."""
        for located in self.located:
            modules = {gpu: located.modules[gpu] for gpu in members if gpu in located.modules}
            blocks = located.partitions or (board.partitions if board else ())
            if len(modules) == len(members) and blocks:
                by_module = partitions.tree(modules.values(), blocks)
                tree = {gpu: by_module[module] for gpu, module in modules.items()}
                if any(tree.values()):
                    return tree, located.source
        return {}, ""

    def _check_operator(self) -> None:
        for name, members in self._operators_groups():
            for evidence in self.evidence:
                if not _all_joined(members, evidence):
                    self.findings.append(report.operator(members, name, evidence.read_in))

    def _check_boards(self) -> None:
        for board, members in self.boards:
            for evidence in self.evidence:
                # The operator knows already.
                told = self.paths.keys() >= set(members)
                if not told and not _all_joined(members, evidence):
                    self.findings.append(report.contradicts(members, board.name, evidence.read_in))

    def _operators_groups(self) -> list[tuple[str, list[str]]]:
        groups: dict[str, list[str]] = {}
        for gpu, source in sorted(self.sources.items()):
            if source == OPERATOR:
                groups.setdefault(self.paths[gpu][0], []).append(gpu)
        return sorted(groups.items())

    def _report_operator(self) -> None:
        for name, members in self._operators_groups():
            paths = sorted({LINK_SEPARATOR.join(self.paths[gpu]) for gpu in members})
            self.findings.append(report.group(", ".join(paths) or name, members, OPERATOR))

    def _report_missing(self, board: Board, members: Sequence[str]) -> None:
        switches = self._switches(board)
        if len(members) < board.gpus:
            self.findings.append(report.missing(board, "gpu", len(members), board.gpus))
        if len(switches) < board.switches:
            self.findings.append(report.missing(board, "switch", len(switches), board.switches))

    def _switches(self, board: Board) -> list[PciDevice]:
        return [device for device in self.switches if device.ids in board.switch_products]

    def _report_down(self) -> None:
        for located in self.located:
            for gpu, (active, inactive) in sorted(located.links.items()):
                # A card without bridge shows all its links as inactive.
                if (inactive and active) or (not active and gpu in self.paths):
                    self.findings.append(report.down(gpu, active, inactive, located.source))

    def _report_fabrics(self) -> None:
        left = list(self.switches)
        for board, members in self.boards:
            if board.joined_by is Fabric.NVSWITCH:
                name = next((self.paths[g][0] for g in members if g in self.paths), board.name)
                switches = self._switches(board)
                self.findings.append(_fabric_of(name, switches, board.control))
                left = [device for device in left if device not in switches]
        if left:
            self.findings.append(_fabric_of("unknown board", left, None))


def _fabric_of(name: str, switches: Sequence[PciDevice], control: str | None) -> Finding:
    drivers = {device.driver for device in switches}
    held = {driver for driver in drivers if driver} if None not in drivers else set()
    return report.fabric(name, len(switches), held, control)


def _of_text(located: Located, across: frozenset[str]) -> _Evidence:
    settled = located.settled if located.has_matrix else located.settled - across
    return _Evidence(located.source, located.source, settled, located.pairs, located.switched)


def _of_hives(hives: Mapping[str, str]) -> _Evidence:
    pairs = {frozenset((a, b)): 1 for a in hives for b in hives if a < b and hives[a] == hives[b]}
    return _Evidence(XGMI, _XGMI_FILES, frozenset(hives), pairs)


def _of_peers(gpus: Sequence[Gpu], across: frozenset[str]) -> _Evidence:
    pairs = {frozenset((gpu.address, peer)): 1 for gpu in gpus for peer in gpu.peers}
    settled = frozenset(gpu.address for gpu in gpus if gpu.peers)
    return _Evidence(HWLOC, HWLOC, settled - across, pairs)


def _all_joined(members: Sequence[str], evidence: _Evidence) -> bool:
    """Whether a source joins any two of these, as far as it tells of them."""
    told = [gpu for gpu in members if gpu in evidence.settled]
    return all(frozenset((a, b)) in evidence.pairs for a in told for b in told if a < b)
