# SPDX-License-Identifier: Apache-2.0
"""Link groups that the operator names: ``NAME=ADDRESS,ADDRESS,...``."""

import re
from collections.abc import Iterable, Mapping

from nova_gpu_passthrough.errors import UserError
from nova_gpu_passthrough.host.links.tool_output import ADDRESS, address_with_domain
from nova_gpu_passthrough.topology.tags import LINK_SEPARATOR

#: Names become values of Nova tags and, in upper case, parts of Placement traits.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}")
_MAX_LEVELS = 4
_ADDRESS = re.compile(rf"{ADDRESS}|[0-9A-Fa-f]{{2}}:[0-9A-Fa-f]{{2}}\.[0-7]")


def parse(options: Iterable[str], gpus: Iterable[str]) -> Mapping[str, tuple[str, ...]]:
    """Return the link group and the partitions inside it by PCI address.

    ``nvs0=1b:00.0,1c:00.0`` names a group, ``nvs0/q0=1b:00.0`` a partition in it. A group needs no
    option of its own if its partitions are named.

    :param gpus: PCI addresses of the host's GPUs
    :raises UserError: if an option has an invalid name or address, names a device that is no GPU
        of the host, or puts a GPU into two groups or two partitions of one level
    """
    known = set(gpus)
    paths: dict[str, tuple[str, ...]] = {}
    for option in options:
        name, equals, members = option.partition("=")
        path = tuple(name.strip().split(LINK_SEPARATOR))
        is_valid = all(_NAME.fullmatch(level) for level in path)
        if not equals or not is_valid or len(path) > _MAX_LEVELS:
            raise UserError(
                f"link group {option!r}: expected NAME=ADDRESS,ADDRESS,... such as "
                "nvs0=0000:1b:00.0,0000:1c:00.0; a name has letters, digits, - and _, and a slash "
                f"before a partition, at most {_MAX_LEVELS} levels"
            )
        addresses = [_address(member.strip(), option, known) for member in members.split(",")]
        if len(set(addresses)) != len(addresses):
            raise UserError(f"link group {option!r}: names a GPU twice; name each GPU once")
        for address in addresses:
            paths[address] = _longer(address, paths.get(address, ()), path)
    return paths


def _address(text: str, option: str, known: set[str]) -> str:
    if not _ADDRESS.fullmatch(text):
        raise UserError(
            f"link group {option!r}: {text!r} is not a PCI address, expected one such as "
            "0000:1b:00.0"
        )
    address = address_with_domain(text)
    if address not in known:
        listed = ", ".join(sorted(known)) or "none"
        raise UserError(
            f"link group {option!r}: {address} is not a GPU of this host, expected one of: {listed}"
        )
    return address


def _longer(address: str, old: tuple[str, ...], new: tuple[str, ...]) -> tuple[str, ...]:
    """Return the longer of two paths, which must begin with the shorter one."""
    short, long = sorted((old, new), key=len)
    if long[: len(short)] != short:
        raise UserError(
            f"link groups: {address} is in {LINK_SEPARATOR.join(old)} and in "
            f"{LINK_SEPARATOR.join(new)}; name it in one of them only"
        )
    return long
