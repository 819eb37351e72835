# SPDX-License-Identifier: Apache-2.0
"""Findings about links between GPUs: ``fabric.*``. None of them prevents passthrough."""

from collections.abc import Collection, Iterable, Sequence

from nova_gpu_passthrough.catalog.boards import Board
from nova_gpu_passthrough.inventory.findings import HOST, Finding, Severity
from nova_gpu_passthrough.inventory.shell_fix import command, comment, script
from nova_gpu_passthrough.topology.tags import LINK_SEPARATOR

_PLACING = (
    "The scheduler chooses the GPUs of a server from one link group, and keeps whole groups for "
    "other servers."
)
_FABRIC_MANAGER_FILE = "/usr/share/nvidia/nvswitch/fabricmanager.cfg"
_START_FABRIC_MANAGER = "systemctl enable --now nvidia-fabricmanager"
_SYSFS = "/sys/bus/pci/devices"


def _save_links(note: str) -> str:
    """Return a script that saves the links between all GPUs and audits the host with them."""
    return script(
        comment(note),
        "nvidia-smi topo -m > topology.txt",
        "nvidia-smi --query-gpu=index,pci.bus_id --format=csv > gpus.csv",
        command("nova-gpu", "host", "audit", "--links", "topology.txt", "--links", "gpus.csv"),
        comment("AMD: save rocm-smi --showtopo --showbus instead."),
    )


def other_host(source: str, unknown: Sequence[str], count: int, gpus: Collection[str]) -> Finding:
    """Report a saved output that describes GPUs which the host does not have."""
    described = f"names {', '.join(unknown[:9])}" if unknown else f"describes {count} GPUs"
    return Finding(
        "fabric.other_host",
        Severity.WARNING,
        HOST,
        f"{described}; this host has {len(gpus)} such GPUs: "
        f"{', '.join(sorted(gpus)[:16]) or 'none'}",
        source,
        "The output is from another machine, or from this one with other GPUs: it was not used.",
        _save_links("On this host, while the vendor's driver has all GPUs:"),
    )


def other_far_end(source: str) -> Finding:
    """Report links whose far ends are not devices of the host."""
    return Finding(
        "fabric.other_host",
        Severity.WARNING,
        HOST,
        "links end at PCI addresses that are neither GPUs nor NVSwitches of this host, or do not "
        "match at both ends",
        source,
        "The output is from another machine, or its GPUs are numbered in another order: it was not "
        "used.",
        _save_links("On this host, while the vendor's driver has all GPUs:"),
    )


def order_assumed(source: str) -> Finding:
    """Report that GPU indexes were mapped to PCI addresses by their order."""
    return Finding(
        "fabric.order_assumed",
        Severity.WARNING,
        HOST,
        "has no PCI addresses: GPU 0 was assumed to have the lowest address, and so on",
        source,
        "This is the usual order, but NVIDIA does not guarantee it. With another order, the wrong "
        "GPUs form a link group.",
        _save_links("Save the PCI addresses, too, while the vendor's driver has all GPUs:"),
    )


def partial(source: str, missing: Sequence[str]) -> Finding:
    """Report GPUs that are missing from a saved output."""
    return Finding(
        "fabric.text_partial",
        Severity.WARNING,
        HOST,
        f"contains nothing about {', '.join(missing[:16])}",
        source,
        "Their links come from another source, or are unknown.",
        _save_links("Save the output again while the vendor's driver has all GPUs:"),
    )


def group(path: str, members: Sequence[str], source: str) -> Finding:
    """Report a link group."""
    return Finding(
        "fabric.group",
        Severity.OK,
        HOST,
        f"{path}: {len(members)} GPUs, {', '.join(members)}",
        source,
    )


def none(gpus: Sequence[str], source: str) -> Finding:
    """Report GPUs without links."""
    return Finding("fabric.none", Severity.OK, HOST, f"no links between {', '.join(gpus)}", source)


def unknown(gpus: Sequence[str]) -> Finding:
    """Report GPUs that can be linked, but whose links no source reports."""
    return Finding(
        "fabric.unknown",
        Severity.WARNING,
        HOST,
        f"no source reports whether links join {', '.join(gpus)}",
        _SYSFS,
        f"{_PLACING} Without groups it places servers as if there were no links.",
        script(
            _save_links("While the vendor's driver has all GPUs:"),
            comment("Or name the GPUs that are linked; these, if all of them are:"),
            command("nova-gpu", "host", "audit", "--link-group", f"nvl0={','.join(gpus)}"),
        ),
    )


def mesh(gpus: Sequence[str], groups: Iterable[Sequence[str]], source: str) -> Finding:
    """Report GPUs that are joined, but not every two of them directly."""
    listed = "; ".join(", ".join(members) for members in groups) or "none"
    return Finding(
        "fabric.mesh",
        Severity.WARNING,
        HOST,
        f"links do not join every two of {', '.join(gpus)}; link groups: {listed}",
        source,
        "A server that requires links gets only GPUs that are all joined, so no larger set.",
        "If bridges are missing, fit them; if servers may use GPUs without a direct link, name the "
        "link group yourself.",
    )


def contradicts_board(gpus: Sequence[str], board: str, source: str) -> Finding:
    """Report a source that does not join GPUs which the board joins."""
    return Finding(
        "fabric.contradicts",
        Severity.WARNING,
        HOST,
        f"does not join all of {', '.join(gpus)}, which {board} joins; this source was used",
        source,
        "The fabric manager did not run when the output was saved, links are down, or the board "
        "is another one.",
        script(
            comment("As root on this host:"),
            _START_FABRIC_MANAGER,
            "nvidia-smi nvlink --status",
            _save_links("When no link is inactive:"),
        ),
    )


def contradicts_operator(gpus: Sequence[str], name: str, source: str) -> Finding:
    """Report a source that does not confirm the operator's link group."""
    return Finding(
        "fabric.contradicts",
        Severity.WARNING,
        HOST,
        f"does not join all of {', '.join(gpus)}, which the operator named link group {name}; "
        "the operator's group was used",
        source,
        _PLACING,
        f"Remove {name} from --link-group if the source is right.",
    )


def down(gpu: str, active: Collection[int], inactive: Collection[int], source: str) -> Finding:
    """Report inactive links of a GPU that is joined with others."""
    total = len(active) + len(inactive)
    which = (
        f"{', '.join(map(str, sorted(inactive)))} of {total} links are"
        if inactive
        else ("all links are")
    )
    return Finding(
        "fabric.down",
        Severity.WARNING,
        gpu,
        f"{which} inactive",
        source,
        "Traffic between GPUs is slower or uses PCI Express.",
        script(
            comment("As root on this host; the first on boards with NVSwitches:"),
            _START_FABRIC_MANAGER,
            "dmesg | grep 'Xid.*: 74,'",
            comment("Reseat bridges if this shows errors of the link."),
        ),
    )


def gpus_missing(board: Board, count: int) -> Finding:
    """Report a board with fewer GPUs than its model has."""
    ids = ", ".join(sorted(board.products))
    return _missing("fabric.gpu_missing", f"{count} of {board.gpus} GPUs of {board.name} ({ids})")


def switches_missing(board: Board, count: int) -> Finding:
    """Report a board with fewer NVSwitches than its model has."""
    ids = ", ".join(sorted(board.switch_products))
    return _missing(
        "fabric.switch_missing", f"{count} of {board.switches} NVSwitches of {board.name} ({ids})"
    )


def _missing(finding_id: str, text: str) -> Finding:
    return Finding(
        finding_id,
        Severity.WARNING,
        HOST,
        text,
        _SYSFS,
        "The fabric manager offers fewer partitions, or slower ones, while a device is missing.",
        script(
            comment("As root on this host:"),
            "lspci -nn -d 10de:",
            "dmesg | grep -e NVRM -e Xid",
            comment(
                "A device that is not there has failed; see the management controller's log. It "
                "may also be excluded by a module parameter or passed through to a service machine."
            ),
        ),
    )


def partitions(paths: Iterable[tuple[str, ...]], source: str) -> Finding:
    """Report the partitions inside a link group."""
    names = sorted({LINK_SEPARATOR.join(path) for path in paths})
    return Finding(
        "fabric.partitions",
        Severity.OK,
        HOST,
        f"{', '.join(names)}; and single GPUs",
        source,
        "Servers with fewer GPUs than the board get NVLink only within a partition that the fabric "
        "manager has activated.",
        script(
            comment("Before the server starts, with the number that fmpm -l shows; later fmpm -d:"),
            command("fmpm", "-a", "NUMBER"),
        ),
    )


def modules(source: str, count: int) -> Finding:
    """Report module ids that do not fit the host."""
    return Finding(
        "fabric.modules",
        Severity.WARNING,
        HOST,
        f"has {count} module ids, expected a different one for each of this host's GPUs",
        source,
        "They are from another machine, or from a service machine with its own PCI addresses: they "
        "were not used.",
        script(
            comment("On this host, while it has the driver:"),
            "nvidia-smi -q > gpus.txt",
            command("nova-gpu", "host", "audit", "--links", "gpus.txt"),
        ),
    )


def partitions_unknown(name: str, by_module: bool) -> Finding:
    """Report a link group whose partitions are not known.

    :param by_module: whether module ids would identify them
    """
    return Finding(
        "fabric.partitions_unknown",
        Severity.WARNING,
        HOST,
        f"{name}: no source reports which GPUs are in the fabric manager's partitions; the order "
        "of PCI addresses does not show it",
        _SYSFS,
        "The fabric manager joins only certain sets of four GPUs and pairs. The scheduler does not "
        "know them, so a server with two or four GPUs may get GPUs of different partitions.",
        script(
            comment("While the host has the driver; or name the partitions with --link-group:"),
            f"{'nvidia-smi -q' if by_module else 'fmpm -l'} > partitions.txt",
            command("nova-gpu", "host", "audit", "--links", "partitions.txt"),
        ),
    )


def fabric_manager(name: str, count: int, drivers: Collection[str], control: str | None) -> Finding:
    """Report where the fabric manager of a link group can run.

    :param drivers: drivers of its NVSwitches; empty if a switch has none
    :param control: how NVSwitches that are not PCI functions are controlled
    """
    why = (
        "NVLink needs a fabric manager. On the host (or in a service machine) it offers partitions "
        "to several servers. Inside a server it needs all NVSwitches: then only a server with all "
        "GPUs has NVLink, and other servers get single GPUs without it."
    )
    if control:
        return Finding(
            "fabric.control",
            Severity.WARNING,
            HOST,
            f"{name}: NVSwitches that are not PCI functions, controlled over {control}",
            _SYSFS,
            why,
            "Keep these functions out of [pci] device_spec and run nvidia-fabricmanager with "
            "FABRIC_MODE=1 and nvlsm on the host; or pass them through with all GPUs to one "
            "server.",
        )
    holder = ", ".join(sorted(drivers)) or "no driver"
    if drivers and all(driver.startswith("nvidia") for driver in drivers):
        return Finding(
            "fabric.host",
            Severity.OK,
            HOST,
            f"{name}: {count} NVSwitches, held by {holder}",
            _SYSFS,
            why,
            _share(),
        )
    return Finding(
        "fabric.guest" if drivers else "fabric.unmanaged",
        Severity.WARNING,
        HOST,
        f"{name}: {count} NVSwitches, held by {holder}",
        _SYSFS,
        why,
        script(
            comment("To share the board, leave the NVSwitches to the nvidia driver."),
            _share(),
            comment("To give the board to one server, put the NVSwitches into its flavor, too."),
        ),
    )


def _share() -> str:
    """Return a script that shares a board between servers by the fabric manager of the host."""
    return script(
        comment(f"As root, with FABRIC_MODE=1 in {_FABRIC_MANAGER_FILE}:"),
        _START_FABRIC_MANAGER,
    )
