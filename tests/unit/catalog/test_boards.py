# SPDX-License-Identifier: Apache-2.0
"""The catalogue of GPU boards."""

import re
from importlib import resources

import pytest
import yaml

from nova_gpu_passthrough.catalog import boards, models
from nova_gpu_passthrough.catalog.boards import Fabric

TEXT = resources.files("nova_gpu_passthrough.catalog").joinpath("boards.yaml").read_text("utf-8")
DOCUMENT = yaml.safe_load(TEXT)
BOARDS = boards.boards()


def names(gpus, switches=()):
    return [board.name for board in boards.recognise(gpus, switches)]


@pytest.mark.parametrize("entry", DOCUMENT["boards"], ids=lambda entry: entry["board"])
def test_an_entry_is_complete(entry):
    assert {"board", "vendor", "products", "gpus", "joined_by"} <= entry.keys()
    assert entry.keys() <= {*boards.Board._fields, "board", "vendor", "joined_by", "switches"}
    switches = entry.get("switches", {"products": []})
    for id_ in (entry["vendor"], *entry["products"], *switches["products"]):
        assert isinstance(id_, str)
        assert re.fullmatch(r"[0-9a-f]{4}", id_)


@pytest.mark.parametrize("entry", DOCUMENT["linkable"], ids=lambda entry: entry["products"][0])
def test_ids_of_linkable_gpus_are_text(entry):
    assert all(re.fullmatch(r"[0-9a-f]{4}", n) for n in (entry["vendor"], *entry["products"]))


def test_boards_with_the_same_products_differ_in_their_counts():
    seen = set()
    for board in BOARDS:
        for product in board.products:
            key = (product, board.gpus, board.switches)
            assert key not in seen
            seen.add(key)


@pytest.mark.parametrize("board", [b for b in BOARDS if b.partitions], ids=lambda board: board.name)
def test_partitions_are_halves_and_quarters_of_the_module_ids(board):
    halves, pairs = ([p for p in board.partitions if len(p) == size] for size in (4, 2))
    everything = set(range(1, board.gpus + 1))
    for blocks in (halves, pairs):
        assert sorted(module for block in blocks for module in block) == sorted(everything)
    assert all(any(pair <= half for half in halves) for pair in pairs)


def test_pairs_of_h100_and_b200_differ():
    """As in the tables of the Fabric Manager User Guide."""
    (h100,) = boards.recognise(["10de:2330"] * 8, ["10de:22a3"] * 4)
    (b200,) = boards.recognise(["10de:2901"] * 8, [])
    assert frozenset({1, 3}) in h100.partitions
    assert frozenset({1, 2}) not in h100.partitions
    assert frozenset({1, 2}) in b200.partitions


@pytest.mark.parametrize(
    "gpus, switches, expected",
    [
        ({"10de:1db8": 16}, {"10de:1ac2": 12}, ["HGX-2, two boards"]),
        ({"10de:1db8": 8}, {"10de:1ac2": 6}, ["HGX-2"]),
        ({"10de:20b2": 8}, {"10de:1af1": 6}, ["HGX A100 8-GPU"]),
        ({"10de:20b2": 16}, {"10de:1af1": 12}, ["HGX A100, two boards"]),
        ({"10de:20b2": 4}, {}, ["HGX A100 4-GPU"]),
        ({"10de:2330": 8}, {"10de:22a3": 4}, ["HGX H100 8-GPU"]),
        ({"10de:2335": 8}, {"10de:22a3": 4}, ["HGX H100 8-GPU"]),
        ({"10de:2330": 4}, {}, ["HGX H100 4-GPU"]),
        ({"10de:2901": 8}, {}, ["HGX B200 8-GPU"]),
        ({"10de:3182": 8}, {}, ["HGX B200 8-GPU"]),
        ({"1002:74a1": 8}, {}, ["MI300X 8-GPU"]),
        ({"1002:74a5": 8}, {}, ["MI325X 8-GPU"]),
        ({"1002:75a0": 8}, {}, ["MI350X 8-GPU"]),
        ({"1002:75a3": 8}, {}, ["MI355X 8-GPU"]),
    ],
)
def test_boards_are_recognised(gpus, switches, expected):
    assert names(*(flat(part) for part in (gpus, switches))) == expected


@pytest.mark.parametrize(
    "gpus, switches, expected",
    [
        ({"10de:1db8": 16}, {"10de:1ac2": 11}, ["HGX-2, two boards"]),
        ({"10de:1db8": 8}, {"10de:1ac2": 12}, ["HGX-2, two boards"]),
        ({"10de:2330": 7}, {"10de:22a3": 4}, ["HGX H100 8-GPU"]),
        ({"10de:2330": 4}, {"10de:22a3": 4}, ["HGX H100 8-GPU"]),
        ({"10de:20b2": 4}, {"10de:1af1": 6}, ["HGX A100 8-GPU"]),
    ],
)
def test_nvswitches_identify_a_board_with_a_missing_part(gpus, switches, expected):
    assert names(*(flat(part) for part in (gpus, switches))) == expected


@pytest.mark.parametrize(
    "gpus, switches",
    [
        ({"10de:2901": 7}, {}),
        ({"1002:74a1": 4}, {}),
        ({"10de:2330": 8}, {}),
        ({"10de:20b2": 8}, {}),
        ({"10de:2330": 4}, {"10de:1af1": 6}),
        ({"10de:26b9": 8}, {}),
        ({}, {"10de:22a3": 4}),
        ({}, {}),
    ],
)
def test_gpus_that_match_no_board(gpus, switches):
    assert names(*(flat(part) for part in (gpus, switches))) == []


def test_other_cards_do_not_hide_a_board():
    assert names(["10de:27b8", *["10de:2330"] * 8], ["10de:22a3"] * 4) == ["HGX H100 8-GPU"]


def test_boards_of_two_vendors_are_recognised():
    gpus = ["1002:74a1"] * 8 + ["10de:2330"] * 8
    assert names(gpus, ["10de:22a3"] * 4) == ["HGX H100 8-GPU", "MI300X 8-GPU"]


def test_gpus_of_boards_are_linkable_and_plain_cards_are_not():
    assert {"10de:2330", "1002:74a1", "10de:2321"} <= boards.linkable()
    assert not {"10de:26b9", "10de:1eb8", "10de:27b8", "10de:2bb5"} & boards.linkable()


def test_sxm_models_of_the_catalogue_are_on_a_board():
    on_boards = {product for board in BOARDS for product in board.products}
    for vendor, product in (("10de", "20b0"), ("10de", "2330"), ("10de", "2335"), ("1002", "74a1")):
        assert models.lookup(vendor, product) is not None
        assert f"{vendor}:{product}" in on_boards


def test_amds_boards_have_no_switches():
    assert {b.switches for b in BOARDS if b.joined_by is Fabric.XGMI} == {0}


def flat(counts):
    return [ids for ids, count in counts.items() for _ in range(count)]
