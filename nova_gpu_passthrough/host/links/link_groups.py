# SPDX-License-Identifier: Apache-2.0
"""Decide the link groups of a host: the operator, saved output, xGMI files, hwloc, the catalogue.

For each GPU the first source that covers it is used. Partitions (the levels of a path after the
first) are set only by the operator, or where the fabric manager's list or module ids identify each
GPU: the order of PCI addresses does not.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from nova_gpu_passthrough.catalog import boards
from nova_gpu_passthrough.catalog.boards import Board, Fabric
from nova_gpu_passthrough.host.links import fabric_findings, operator_groups, partitions
from nova_gpu_passthrough.host.links.cliques import cliques, components, neighbours
from nova_gpu_passthrough.host.links.resolved_output import Pairs, ResolvedOutput, resolve
from nova_gpu_passthrough.host.links.tool_output import ToolOutput, combine
from nova_gpu_passthrough.inventory.findings import Finding
from nova_gpu_passthrough.inventory.pci import Gpu, PciDevice, Role
from nova_gpu_passthrough.topology.tags import LINK_SEPARATOR

#: Values of `Gpu.link_source` for sources other than files.
OPERATOR, XGMI, HWLOC, CATALOGUE = "operator", "xgmi", "hwloc", "catalogue"
_NAMES = {Fabric.NVSWITCH: "nvs", Fabric.NVLINK: "nvl", Fabric.XGMI: "xgmi"}
_XGMI_FILES = "/sys/bus/pci/devices/*/xgmi_hive_info/xgmi_hive_id"
_CATALOGUE = "catalogue of boards, by PCI ids and counts"


@dataclass(frozen=True, slots=True)
class LinkGroups:
    """The link groups of a host's GPUs."""

    #: Link group and the partitions inside it, by PCI address; GPUs without links are absent.
    paths: Mapping[str, tuple[str, ...]]
    #: The source of each path, by PCI address.
    sources: Mapping[str, str]
    #: GPUs that a source reports as joined with a GPU, by its PCI address.
    peers: Mapping[str, tuple[str, ...]]
    findings: tuple[Finding, ...]

    def applied_to(self, gpus: Iterable[Gpu]) -> tuple[Gpu, ...]:
        """Return the GPUs with their link groups."""
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
    """What one source reports about the links of GPUs."""

    name: str
    #: Where the source was read, for findings.
    read_in: str
    #: GPUs whose links to other GPUs the source reports.
    covered: frozenset[str]
    pairs: Pairs
    switched: frozenset[str] = frozenset()


def find(
    devices: Iterable[PciDevice],
    gpus: Iterable[Gpu],
    outputs: Iterable[ToolOutput] = (),
    hives: Mapping[str, str] | None = None,
    operator_options: Iterable[str] = (),
    *,
    drivers_known: bool = True,
) -> LinkGroups:
    """Return the link groups of a host.

    :param devices: all PCI functions of the host
    :param gpus: its GPUs; their ``peers``, from an hwloc export, are one of the sources
    :param outputs: saved outputs, from ``saved_output.read_links``
    :param hives: xGMI hive ids by PCI address, from ``xgmi.read_hives``
    :param operator_options: the operator's groups, ``NAME=ADDRESS,ADDRESS,...``
    :param drivers_known: False if the inventory does not contain the drivers of devices, as with
        an hwloc export
    :raises UserError: if the operator's groups do not fit the host
    """
    finder = _LinkGroupFinder(tuple(devices), tuple(gpus), outputs, hives or {})
    return finder.run(tuple(operator_options), drivers_known)


class _LinkGroupFinder:
    def __init__(
        self,
        devices: Sequence[PciDevice],
        gpus: Sequence[Gpu],
        outputs: Iterable[ToolOutput],
        hives: Mapping[str, str],
    ) -> None:
        self.devices = {device.address: device for device in devices}
        self.gpus = sorted(gpu.address for gpu in gpus)
        #: Virtual functions have no links of their own.
        self.physical = [gpu for gpu in self.gpus if self.devices[gpu].physical_function is None]
        self.switches = [d for d in self.devices.values() if d.role is Role.NVSWITCH]
        self.outputs = [resolve(output, devices) for output in combine(outputs)]
        self.boards = self._recognise_boards()
        # Outputs with the far ends of GPUs' links do not show the links between NVSwitches.
        behind_switches = frozenset(
            gpu
            for board, members in self.boards
            if board.joined_by is Fabric.NVSWITCH
            for gpu in members
        )
        self.evidence = [
            *(
                _evidence_of_output(output, behind_switches)
                for output in self.outputs
                if output.covered
            ),
            _evidence_of_hives({gpu: hives[gpu] for gpu in self.gpus if gpu in hives}),
            _evidence_of_peers(gpus, behind_switches),
        ]
        self.paths: dict[str, tuple[str, ...]] = {}
        self.sources: dict[str, str] = {}
        self.peers: dict[str, tuple[str, ...]] = {}
        self.findings = [finding for output in self.outputs for finding in output.findings]

    def run(self, operator_options: Sequence[str], drivers_known: bool) -> LinkGroups:
        self.paths.update(operator_groups.parse(operator_options, self.gpus))
        self.sources.update(dict.fromkeys(self.paths, OPERATOR))
        self._check_operator_groups()
        self._check_boards()
        done = set(self.paths)
        for evidence in self.evidence:
            done |= self._apply(evidence, done)
        for board, members in self.boards:
            pairs = {frozenset((a, b)): 1 for a in members for b in members if a < b}
            covered = frozenset(members)
            self._apply(_Evidence(CATALOGUE, _CATALOGUE, covered, pairs), done)
            done |= covered
            self._report_missing(board, members)
        unknown = [
            gpu
            for gpu in self.physical
            if gpu not in done and self.devices[gpu].ids in boards.linkable()
        ]
        if len(unknown) > 1:
            self.findings.append(fabric_findings.unknown(unknown))
        self._report_operator_groups()
        self._report_inactive_links()
        if drivers_known:
            self._report_fabric_managers()
        return LinkGroups(self.paths, self.sources, self.peers, tuple(self.findings))

    def _recognise_boards(self) -> list[tuple[Board, list[str]]]:
        recognised = boards.recognise(
            [self.devices[gpu].ids for gpu in self.physical], [d.ids for d in self.switches]
        )
        return [
            (board, [gpu for gpu in self.physical if self.devices[gpu].ids in board.products])
            for board in recognised
        ]

    def _board_of(self, members: Collection[str]) -> Board | None:
        return next((b for b, on_board in self.boards if set(members) <= set(on_board)), None)

    def _apply(self, evidence: _Evidence, done: Collection[str]) -> frozenset[str]:
        """Add the groups of the GPUs that no better source covers; return these GPUs."""
        new = evidence.covered - set(done)
        joined = neighbours(new, evidence.pairs)
        groups = cliques(joined)
        for members in groups:
            self._add_group(members, evidence)
        for gpu, others in joined.items():
            if others and evidence.name != CATALOGUE:
                self.peers[gpu] = tuple(sorted(others))
        for component in components(joined):
            inside = [members for members in groups if component.issuperset(members)]
            if len(component) > 1 and len(inside[0]) < len(component):
                self.findings.append(
                    fabric_findings.mesh(sorted(component), inside, evidence.read_in)
                )
        if new and not groups:
            self.findings.append(fabric_findings.none(sorted(new), evidence.read_in))
        return new

    def _add_group(self, members: Sequence[str], evidence: _Evidence) -> None:
        board = self._board_of(members)
        name = self._free_name(_NAMES[self._fabric(members, evidence, board)])
        inner_paths, source = self._partitions(members, board)
        for gpu in members:
            self.paths[gpu] = (name, *inner_paths.get(gpu, ()))
            self.sources[gpu] = evidence.name
        self.findings.append(fabric_findings.group(name, members, evidence.read_in))
        if inner_paths:
            inner = [self.paths[gpu] for gpu in members if len(self.paths[gpu]) > 1]
            self.findings.append(fabric_findings.partitions(inner, source))
        elif board is not None and board.joined_by is Fabric.NVSWITCH and len(members) > 2:
            self.findings.append(fabric_findings.partitions_unknown(name, bool(board.partitions)))

    def _free_name(self, prefix: str) -> str:
        used = {path[0] for path in self.paths.values()}
        number = 0
        while f"{prefix}{number}" in used:
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
        """Return the partitions of a group's members and their source; empty if unknown."""
        for output in self.outputs:
            modules = {gpu: output.modules[gpu] for gpu in members if gpu in output.modules}
            blocks = output.partitions or (board.partitions if board else ())
            if len(modules) == len(members) and blocks:
                by_module = partitions.name_partitions(modules.values(), blocks)
                paths = {gpu: by_module[module] for gpu, module in modules.items()}
                if any(paths.values()):
                    return paths, output.source
        return {}, ""

    def _check_operator_groups(self) -> None:
        for name, members in self._operator_groups():
            for evidence in self.evidence:
                if not _all_joined(members, evidence):
                    self.findings.append(
                        fabric_findings.contradicts_operator(members, name, evidence.read_in)
                    )

    def _check_boards(self) -> None:
        for board, members in self.boards:
            if self.paths.keys() >= set(members):
                # The operator has named the groups of the whole board.
                continue
            for evidence in self.evidence:
                if not _all_joined(members, evidence):
                    self.findings.append(
                        fabric_findings.contradicts_board(members, board.name, evidence.read_in)
                    )

    def _operator_groups(self) -> list[tuple[str, list[str]]]:
        groups: dict[str, list[str]] = {}
        for gpu, source in sorted(self.sources.items()):
            if source == OPERATOR:
                groups.setdefault(self.paths[gpu][0], []).append(gpu)
        return sorted(groups.items())

    def _report_operator_groups(self) -> None:
        for name, members in self._operator_groups():
            paths = sorted({LINK_SEPARATOR.join(self.paths[gpu]) for gpu in members})
            self.findings.append(fabric_findings.group(", ".join(paths) or name, members, OPERATOR))

    def _report_missing(self, board: Board, members: Sequence[str]) -> None:
        switches = self._switches_of(board)
        if len(members) < board.gpus:
            self.findings.append(fabric_findings.gpus_missing(board, len(members)))
        if len(switches) < board.switches:
            self.findings.append(fabric_findings.switches_missing(board, len(switches)))

    def _switches_of(self, board: Board) -> list[PciDevice]:
        return [device for device in self.switches if device.ids in board.switch_products]

    def _report_inactive_links(self) -> None:
        for output in self.outputs:
            for gpu, (active, inactive) in sorted(output.links.items()):
                # On a card without bridge all links are inactive.
                if (inactive and active) or (not active and gpu in self.paths):
                    self.findings.append(fabric_findings.down(gpu, active, inactive, output.source))

    def _report_fabric_managers(self) -> None:
        left = list(self.switches)
        for board, members in self.boards:
            if board.joined_by is Fabric.NVSWITCH:
                name = next((self.paths[g][0] for g in members if g in self.paths), board.name)
                switches = self._switches_of(board)
                self.findings.append(_fabric_manager(name, switches, board.control))
                left = [device for device in left if device not in switches]
        if left:
            self.findings.append(_fabric_manager("unknown board", left, None))


def _fabric_manager(name: str, switches: Sequence[PciDevice], control: str | None) -> Finding:
    drivers = {device.driver for device in switches}
    known = {driver for driver in drivers if driver} if None not in drivers else set()
    return fabric_findings.fabric_manager(name, len(switches), known, control)


def _evidence_of_output(output: ResolvedOutput, behind_switches: frozenset[str]) -> _Evidence:
    covered = output.covered if output.has_matrix else output.covered - behind_switches
    return _Evidence(output.source, output.source, covered, output.pairs, output.switched)


def _evidence_of_hives(hives: Mapping[str, str]) -> _Evidence:
    pairs = {frozenset((a, b)): 1 for a in hives for b in hives if a < b and hives[a] == hives[b]}
    return _Evidence(XGMI, _XGMI_FILES, frozenset(hives), pairs)


def _evidence_of_peers(gpus: Sequence[Gpu], behind_switches: frozenset[str]) -> _Evidence:
    pairs = {frozenset((gpu.address, peer)): 1 for gpu in gpus for peer in gpu.peers}
    covered = frozenset(gpu.address for gpu in gpus if gpu.peers)
    return _Evidence(HWLOC, HWLOC, covered - behind_switches, pairs)


def _all_joined(members: Sequence[str], evidence: _Evidence) -> bool:
    """Check whether a source joins all these GPUs, as far as it covers them."""
    covered = [gpu for gpu in members if gpu in evidence.covered]
    return all(frozenset((a, b)) in evidence.pairs for a in covered for b in covered if a < b)
