# SPDX-License-Identifier: Apache-2.0
"""Hypothesis strategies for inventories, built from the model's type hints."""

import dataclasses
import typing

from hypothesis import strategies as st

from nova_gpu_passthrough.inventory.findings import Finding, Verdict
from nova_gpu_passthrough.inventory.model import Inventory
from nova_gpu_passthrough.inventory.pci import Gpu, PciDevice

#: YAML is text: no lone surrogates.
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
NUMBERS = st.integers(-(2**63), 2**63) | st.integers(0, 20)
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
ADDRESSES = st.builds(
    "{:04x}:{:02x}:{:02x}.{}".format,
    st.integers(0, 0x1FFFF),
    st.integers(0, 255),
    st.integers(0, 31),
    st.integers(0, 7),
)


def _hex(digits):
    return st.integers(0, 16**digits - 1).map(lambda number: f"{number:0{digits}x}")


#: Fields for which the schema is stricter than the type.
_BY_NAME = {
    "address": ADDRESSES,
    "bridges": st.lists(ADDRESSES, max_size=3).map(tuple),
    "companions": st.just(()),
    "switch": st.none() | ADDRESSES,
    "peers": st.lists(ADDRESSES, max_size=3).map(tuple),
    "physical_function": st.none() | ADDRESSES,
    "class_code": _hex(6),
    "vendor_id": _hex(4),
    "product_id": _hex(4),
    "subsystem_vendor_id": st.none() | _hex(4),
    "subsystem_product_id": st.none() | _hex(4),
}


def _of(hint):
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if dataclasses.is_dataclass(hint):
        return built(hint)
    if origin is tuple:
        return st.lists(_of(arguments[0]), max_size=3).map(tuple)
    if origin is dict:
        return st.dictionaries(_of(arguments[0]), _of(arguments[1]), max_size=3)
    if arguments:
        return st.one_of([_of(argument) for argument in arguments])
    simple = {str: TEXT, int: NUMBERS, float: FLOATS, bool: st.booleans(), type(None): st.none()}
    return simple[hint] if hint in simple else st.sampled_from(hint)


def built(cls, **fixed):
    """Return a strategy for objects of a dataclass of the model."""
    hints = typing.get_type_hints(cls)
    fields = {field.name: _of(hints[field.name]) for field in dataclasses.fields(cls)}
    by_name = {name: strategy for name, strategy in _BY_NAME.items() if name in fields}
    return st.builds(cls, **{**fields, **by_name, **fixed})


@st.composite
def inventories(draw):
    """Any inventory whose GPUs are among its devices."""
    devices = draw(st.lists(built(PciDevice), max_size=4, unique_by=lambda device: device.address))
    addresses = [device.address for device in devices]
    gpus = []
    for address in addresses:
        if draw(st.booleans()):
            companions = draw(st.lists(st.sampled_from(addresses), max_size=2))
            gpu = draw(built(Gpu, address=st.just(address)))
            gpus.append(dataclasses.replace(gpu, companions=tuple(companions)))
    return draw(
        built(
            Inventory,
            devices=st.just(tuple(devices)),
            gpus=st.just(tuple(gpus)),
            findings=st.lists(built(Finding), max_size=3).map(tuple),
            verdicts=st.none() | st.just(dict.fromkeys(addresses, Verdict.UNFIT)),
        )
    )
