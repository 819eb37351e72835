# SPDX-License-Identifier: Apache-2.0
"""Findings about links between GPUs: ``fabric.*``. None keeps a GPU from being passed through."""

from collections.abc import Collection, Iterable, Sequence

from nova_gpu_passthrough.catalog.boards import Board
from nova_gpu_passthrough.inventory.findings import HOST, Finding, Severity
from nova_gpu_passthrough.topology.tags import LINK_SEPARATOR

_PLACING = (
    "The scheduler keeps the GPUs of a server in one link group, and whole groups for others."
)
_SAVE = "save nvidia-smi topo -m (AMD: rocm-smi --showtopo --showbus) while the host has the driver"
_WORD = "or name the link groups yourself"
_SYSFS = "/sys/bus/pci/devices"


def other_host(source: str, strange: Sequence[str], count: int, gpus: Collection[str]) -> Finding:
    """A saved output that is about other GPUs than the host has."""
    what = f"names {', '.join(strange[:9])}" if strange else f"is about {count} GPUs"
    return Finding(
        "fabric.other_host",
        Severity.WARNING,
        HOST,
        f"{what}; this host has {len(gpus)} such GPUs: {', '.join(sorted(gpus)[:16]) or 'none'}",
        source,
        "The output is of another machine, or of this one with other GPUs: it was not used.",
        "Save the output on this host with all GPUs on the vendor's driver.",
    )


def other_far_end(source: str) -> Finding:
    """Links that end where this host has nothing."""
    return Finding(
        "fabric.other_host",
        Severity.WARNING,
        HOST,
        "links end at PCI addresses that are neither GPUs nor NVSwitches of this host, or not "
        "at each other",
        source,
        "The output is of another machine, or its GPUs are numbered otherwise: it was not used.",
        "Save it on this host together with nvidia-smi --query-gpu=index,pci.bus_id --format=csv.",
    )


def order(source: str) -> Finding:
    """Indexes taken for the order of PCI addresses."""
    return Finding(
        "fabric.order_assumed",
        Severity.WARNING,
        HOST,
        "tells no PCI addresses: GPU 0 was taken for the lowest, and so on",
        source,
        "The order is the usual one, but NVIDIA does not promise it. If it is another, the wrong "
        "GPUs are named a link group.",
        "Save nvidia-smi --query-gpu=index,pci.bus_id --format=csv, too.",
    )


def partial(source: str, missing: Sequence[str]) -> Finding:
    """GPUs that a saved output leaves out."""
    return Finding(
        "fabric.text_partial",
        Severity.WARNING,
        HOST,
        f"tells nothing of {', '.join(missing[:16])}",
        source,
        "Their links come from another source, or are unknown.",
        "Save the output anew while all GPUs are on the vendor's driver.",
    )


def group(path: str, members: Sequence[str], source: str) -> Finding:
    """A link group."""
    return Finding(
        "fabric.group",
        Severity.OK,
        HOST,
        f"{path}: {len(members)} GPUs, {', '.join(members)}",
        source,
    )


def none(gpus: Sequence[str], source: str) -> Finding:
    """GPUs without links."""
    return Finding("fabric.none", Severity.OK, HOST, f"no links between {', '.join(gpus)}", source)


def unknown(gpus: Sequence[str]) -> Finding:
    """GPUs that may be joined."""
    return Finding(
        "fabric.unknown",
        Severity.WARNING,
        HOST,
        f"nothing tells whether links join {', '.join(gpus)}",
        _SYSFS,
        f"{_PLACING} Without groups it places them as if there were no links.",
        f"For the audit, {_SAVE}, {_WORD}.",
    )


def mesh(gpus: Sequence[str], groups: Iterable[Sequence[str]], source: str) -> Finding:
    """Joined GPUs of which not any two are joined."""
    parts = "; ".join(", ".join(members) for members in groups) or "none"
    return Finding(
        "fabric.mesh",
        Severity.WARNING,
        HOST,
        f"not any two of {', '.join(gpus)} are joined; link groups: {parts}",
        source,
        "A server that requires links gets GPUs of which any two are joined, so no larger set.",
        "If bridges are missing, fit them; if servers may cross the gaps, name the link group "
        "yourself.",
    )


def contradicts(gpus: Sequence[str], board: str, source: str) -> Finding:
    """A source that does not join what the board joins."""
    return Finding(
        "fabric.contradicts",
        Severity.WARNING,
        HOST,
        f"does not join all of {', '.join(gpus)}, which {board} joins; it was believed",
        source,
        "The fabric manager did not run when the output was saved, links are down, or the board "
        "is another one.",
        "Start nvidia-fabricmanager, look for failed links, save the output anew; or name the link "
        "groups yourself.",
    )


def operator(gpus: Sequence[str], name: str, source: str) -> Finding:
    """An operator's group that a source does not confirm."""
    return Finding(
        "fabric.contradicts",
        Severity.WARNING,
        HOST,
        f"does not join all of {', '.join(gpus)}, which you call link group {name}; "
        "you were believed",
        source,
        _PLACING,
        "Look at both again.",
    )


def down(gpu: str, active: Collection[int], inactive: Collection[int], source: str) -> Finding:
    """Inactive links of a GPU that is joined."""
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
        "Traffic between GPUs is slower or goes over PCI Express.",
        "Start nvidia-fabricmanager on boards with NVSwitches; reseat bridges; look for Xid 74 in "
        "the kernel log.",
    )


def missing(board: Board, what: str, found: int, wanted: int) -> Finding:
    """GPUs or NVSwitches of a board that are not there."""
    ids = ", ".join(sorted(board.products if what == "gpu" else board.switch_products))
    return Finding(
        f"fabric.{what}_missing",
        Severity.WARNING,
        HOST,
        f"{found} of {wanted} {'GPUs' if what == 'gpu' else 'NVSwitches'} of {board.name} ({ids})",
        _SYSFS,
        "The fabric manager offers fewer partitions, or slower ones, while a part is missing.",
        "Look for it in lspci and the management controller's log; it may have failed, be excluded "
        "by a module parameter or be passed through to a service machine.",
    )


def partitions(paths: Iterable[tuple[str, ...]], source: str) -> Finding:
    """Partitions inside a group."""
    names = sorted({LINK_SEPARATOR.join(path) for path in paths})
    return Finding(
        "fabric.partitions",
        Severity.OK,
        HOST,
        f"{', '.join(names)}; and single GPUs",
        source,
        "Servers with fewer GPUs than the board get NVLink only within a partition that the fabric "
        "manager has activated.",
        "Activate the partition before the server starts (fmpm -a), deactivate it afterwards.",
    )


def modules(source: str, count: int) -> Finding:
    """Module ids that do not fit."""
    return Finding(
        "fabric.modules",
        Severity.WARNING,
        HOST,
        f"tells {count} module ids, none or not one each for this host's GPUs",
        source,
        "They are of another machine, or of a service machine with PCI addresses of its own: they "
        "were not used.",
        "Save nvidia-smi -q on this host, while it has the driver.",
    )


def partitions_unknown(name: str, by_module: bool) -> Finding:
    """A group whose partitions are not known.

    :param by_module: whether module ids would tell them
    """
    return Finding(
        "fabric.partitions_unknown",
        Severity.WARNING,
        HOST,
        f"{name}: nothing tells which GPUs the fabric manager's partitions hold; the order of PCI "
        "addresses does not",
        _SYSFS,
        "The fabric manager joins only certain fours and pairs. The scheduler does not know them, "
        "so servers with two or four GPUs may get some that no partition holds.",
        f"For the audit, save {'nvidia-smi -q or ' if by_module else ''}fmpm -l while the host has "
        "the driver; or name the partitions yourself.",
    )


def fabric(name: str, count: int, drivers: Collection[str], control: str | None) -> Finding:
    """Who can run the fabric manager of a group."""
    why = (
        "NVLink needs a fabric manager. On the host (or in a service machine) it offers partitions "
        "to several servers; inside a server it needs all NVSwitches, so only a server with all "
        "GPUs has NVLink then, others get single GPUs without."
    )
    if control:
        return Finding(
            "fabric.control",
            Severity.WARNING,
            HOST,
            f"{name}: NVSwitches that are no PCI functions, controlled over {control}",
            _SYSFS,
            why,
            "Keep these functions off [pci] device_spec and run nvidia-fabricmanager with "
            "FABRIC_MODE=1 and nvlsm on the host; or pass them through with all GPUs to one "
            "server.",
        )
    held = ", ".join(sorted(drivers)) or "no driver"
    if drivers and all(driver.startswith("nvidia") for driver in drivers):
        return Finding(
            "fabric.host",
            Severity.OK,
            HOST,
            f"{name}: {count} NVSwitches, held by {held}",
            _SYSFS,
            why,
            "See that nvidia-fabricmanager runs with FABRIC_MODE=1.",
        )
    return Finding(
        "fabric.guest" if drivers else "fabric.unmanaged",
        Severity.WARNING,
        HOST,
        f"{name}: {count} NVSwitches, held by {held}",
        _SYSFS,
        why,
        "To share the board, leave the NVSwitches to the nvidia driver and run "
        "nvidia-fabricmanager with FABRIC_MODE=1; to give it to one server, put the NVSwitches "
        "into its flavor, too.",
    )
