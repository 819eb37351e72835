# SPDX-License-Identifier: Apache-2.0
"""The operator's word on link groups: ``NAME=ADDRESS,ADDRESS,...``."""

import re
from collections.abc import Iterable, Mapping

from nova_gpu_passthrough.errors import UserError
from nova_gpu_passthrough.host.links.tool_output import ADDRESS, short_addresses
from nova_gpu_passthrough.topology.tags import LINK_SEPARATOR

#: Names go into tags of Nova and, in upper case, into traits of Placement.
_PART = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}")
_MOST_PARTS = 4
_SHORT = re.compile(rf"{ADDRESS}|[0-9A-Fa-f]{{2}}:[0-9A-Fa-f]{{2}}\.[0-7]")


def parse(words: Iterable[str], gpus: Iterable[str]) -> Mapping[str, tuple[str, ...]]:
    """Link group and partitions inside by PCI address.

    ``nvs0=1b:00.0,1c:00.0`` names a group, ``nvs0/q0=1b:00.0`` a partition in it; the group need
    not be given besides its partitions.

    :param gpus: the host's GPUs by PCI address
    :raises UserError: if a name or an address is none, is no GPU of the host, or if a GPU is in two
        groups or two partitions of one level
    """
    known = set(gpus)
    paths: dict[str, tuple[str, ...]] = {}
    for word in words:
        name, equals, members = word.partition("=")
        path = tuple(name.strip().split(LINK_SEPARATOR))
        good = all(_PART.fullmatch(part) for part in path)
        if not equals or not good or len(path) > _MOST_PARTS:
            raise UserError(
                f"link group {word!r}: expected NAME=ADDRESS,ADDRESS,... such as "
                "nvs0=0000:1b:00.0,0000:1c:00.0; a name has letters, digits, - and _, and a slash "
                f"before a partition, at most {_MOST_PARTS} parts"
            )
        addresses = [_address(member.strip(), word, known) for member in members.split(",")]
        if len(set(addresses)) != len(addresses):
            raise UserError(f"link group {word!r}: names a GPU twice; name each once")
        for address in addresses:
            paths[address] = _deeper(address, paths.get(address, ()), path)
    return paths


def _address(text: str, word: str, known: set[str]) -> str:
    if not _SHORT.fullmatch(text):
        raise UserError(
            f"link group {word!r}: {text!r} is no PCI address, expected one such as 0000:1b:00.0"
        )
    address = short_addresses(text)
    if address not in known:
        listed = ", ".join(sorted(known)) or "none"
        raise UserError(
            f"link group {word!r}: {address} is no GPU of this host, expected one of: {listed}"
        )
    return address


def _deeper(address: str, old: tuple[str, ...], new: tuple[str, ...]) -> tuple[str, ...]:
    """The longer of two paths, of which one must lead on from the other."""
    short, long = sorted((old, new), key=len)
    if long[: len(short)] != short:
        raise UserError(
            f"link groups: {address} is in {LINK_SEPARATOR.join(old)} and in "
            f"{LINK_SEPARATOR.join(new)}; leave it in one"
        )
    return long
