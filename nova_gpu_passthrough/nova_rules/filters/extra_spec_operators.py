# SPDX-License-Identifier: Apache-2.0
"""Compare a value of a host with a requirement such as ``>= 5`` or ``<or> a <or> b``.

Restates ``match`` in nova/scheduler/filters/extra_specs_ops.py.
"""

import operator
from collections.abc import Callable
from typing import Any

_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "=": lambda value, required: float(value) >= float(required),
    "<in>": lambda value, required: required in value,
    "<all-in>": lambda value, required: all(word in value for word in required),
    "==": lambda value, required: float(value) == float(required),
    "!=": lambda value, required: float(value) != float(required),
    ">=": lambda value, required: float(value) >= float(required),
    "<=": lambda value, required: float(value) <= float(required),
    "s==": operator.eq,
    "s!=": operator.ne,
    "s<": operator.lt,
    "s<=": operator.le,
    "s>": operator.gt,
    "s>=": operator.ge,
}
_OR = "<or>"


def matches(value: str, requirement: str) -> bool:
    """Check whether a value meets a requirement.

    A value that is not a number fails for the numeric operators. Nova's filter raises an error
    then, so that it finds no host.
    """
    words = requirement.split()
    compare = None
    if words:
        compare = _OPERATORS.get(words[0])
        if words[0] == _OR:
            # <or> v1 <or> v2 <or> v3
            return value in words[1::2]
    if compare is None:
        return value == requirement
    if len(words) < 2:
        return False
    try:
        return compare(value, words[1:] if words[0] == "<all-in>" else words[1])
    except ValueError:
        return False
