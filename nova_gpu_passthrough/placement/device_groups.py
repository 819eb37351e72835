# SPDX-License-Identifier: Apache-2.0
"""Recognize queries for allocation candidates with several groups of devices.

Nova writes one group for each device (``resources_<id>-0``, ``resources_<id>-1``), and Placement
answers with every order of the devices: for 4 of 8 devices 1,680 candidates a host. Equal groups
need no order, so that the devices of each kind can be queried alone, with one group for the kind.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlencode

#: Parameters of a group with the suffix of the group (placement/lib.py), and of the whole request.
_OF_GROUP = re.compile(r"(resources|required|member_of|in_tree)([a-zA-Z0-9_-]{0,64})")
_OF_REQUEST = ("group_policy", "limit", "root_required")

_Parameters = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class EqualGroups:
    """Equal groups, of which each gets one device."""

    suffixes: tuple[str, ...]
    #: What one device allocates, by resource class.
    resources: Mapping[str, int]
    #: The parameters of the first group.
    parameters: _Parameters


@dataclass(frozen=True, slots=True)
class DeviceQuery:
    """A query for devices of one or more kinds and for other resources of the same host."""

    kinds: Sequence[EqualGroups]
    #: The parameters of the whole request and of the group without a suffix.
    common: _Parameters
    #: The most candidates that the client accepts; None: any number.
    limit: int | None

    def query_string(self, kind: EqualGroups) -> str:
        """Return the query for one device of a kind with the other resources, without a limit."""
        return urlencode([*self.common, *kind.parameters])


def parse(query_string: str) -> DeviceQuery | None:
    """Parse a query for allocation candidates.

    :returns: None if it has groups for at most one device, anything unknown or invalid, or rules
        that relate groups to each other: such a query is for Placement alone
    """
    groups: dict[str, list[tuple[str, str]]] = {}
    requested: dict[str, str] = {}
    common: list[tuple[str, str]] = []
    for name, value in parse_qsl(query_string, keep_blank_values=True):
        if name in _OF_REQUEST:
            if name in requested:
                return None
            requested[name] = value
            if name != "limit":
                common.append((name, value))
        elif matched := _OF_GROUP.fullmatch(name):
            groups.setdefault(matched[2], []).append((matched[1], value))
        else:
            return None
    common += groups.pop("", [])
    limit = requested.get("limit")
    if requested.get("group_policy") != "none" or (limit is not None and not _is_positive(limit)):
        return None
    if len(groups) < 2:
        return None
    equal: dict[_Parameters, list[str]] = {}
    for suffix, group in groups.items():
        equal.setdefault(tuple(sorted(group)), []).append(suffix)
    kinds = []
    for parameters, suffixes in equal.items():
        resources = _resources([value for name, value in parameters if name == "resources"])
        if not resources:
            return None
        renamed = tuple((f"{name}{suffixes[0]}", value) for name, value in parameters)
        kinds.append(EqualGroups(tuple(suffixes), resources, renamed))
    return DeviceQuery(kinds, tuple(common), None if limit is None else int(limit))


def _is_positive(text: str) -> bool:
    return re.fullmatch(r"[1-9][0-9]{0,8}", text) is not None


def _resources(values: Sequence[str]) -> dict[str, int]:
    """Return the amounts by resource class; empty if there is not exactly one valid value."""
    if len(values) != 1:
        return {}
    result: dict[str, int] = {}
    for part in values[0].split(","):
        name, _, amount = part.partition(":")
        if not name or name in result or not _is_positive(amount):
            return {}
        result[name] = int(amount)
    return result
