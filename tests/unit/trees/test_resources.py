# SPDX-License-Identifier: Apache-2.0
"""BARs have the sizes of the model, and addresses that firmware could assign."""

import pytest
from hypothesis import given, settings

from tests.trees import building_blocks, defects, hgx_h100, resources, write
from tests.unit.trees import strategies
from tests.unit.trees.strategies import MACHINES


def _assert_sizes(machine):
    rows = resources.assign(machine)
    for device in machine.devices().values():
        if device.is_bridge or device.physfn:
            continue
        found = {
            n: row.end - row.start + 1
            for n, row in enumerate(rows[device.address][:6])
            if row.flags
        }
        assert found == {bar.index: bar.size for bar in device.bars}
        if device.sriov is not None:
            for bar in device.sriov.bars:
                row = rows[device.address][resources.SRIOV_ROW + bar.index]
                assert row.end - row.start + 1 == bar.size * device.sriov.total


def _assert_addresses(machine):
    """Check that addresses are aligned, disjoint, below the limit and in the bridges' windows."""
    rows = resources.assign(machine)
    spans = []
    for location in machine.locations():
        device = location.device
        if device.is_bridge or device.physfn:
            continue
        bars = {bar.index: bar.size for bar in device.bars}
        for number, row in enumerate(rows[device.address]):
            if not row.assigned or row.flags & resources.IO:
                continue
            if number in bars:
                assert row.start % bars[number] == 0
            assert row.end < 1 << machine.processor.physical_bits
            spans.append((row.start, row.end))
            for port in location.parents:
                windows = rows[port.address][resources.WINDOW_ROW :]
                assert any(w.start <= row.start and row.end <= w.end for w in windows), port.address
    spans.sort()
    assert all(first[1] < second[0] for first, second in zip(spans, spans[1:], strict=False))


@pytest.mark.parametrize("machine", MACHINES.values(), ids=MACHINES)
def test_servers_have_the_bars_of_the_model(machine):
    _assert_sizes(machine)
    _assert_addresses(machine)
    every = [row for rows in resources.assign(machine).values() for row in rows]
    assert not [row for row in every if row.flags & resources.UNSET]


@settings(max_examples=40, deadline=None)
@given(strategies.machines())
def test_any_machine_has_the_bars_of_the_model(machine):
    _assert_sizes(machine)
    _assert_addresses(machine)


def test_the_file_has_three_columns_and_as_many_rows_as_the_kernel_writes(tmp_path):
    machine = strategies.small_hgx()
    root = write(machine, tmp_path)
    gpu, port = machine.gpus()[0], machine.location(machine.gpus()[0].address).parents[0]
    directory = defects.device_directory(root, gpu.address)
    lines = (directory / "resource").read_text().splitlines()
    assert len(lines) == 13
    assert {len(line) for line in lines} == {56}
    sizes = {
        n: end - start + 1
        for n, (start, end, flags) in enumerate(strategies.rows(directory))
        if flags
    }
    assert (sizes[0], sizes[2]) == (16 << 20, 128 << 30)
    assert sizes[4] == 32 << 20
    assert strategies.rows(directory)[2][2] == 0x14220C
    assert len(strategies.rows(defects.device_directory(root, port.address))) == 17


def test_bars_that_do_not_fit_have_a_size_and_no_address():
    machine = defects.physical_bits(hgx_h100.machine(), 39)
    rows = resources.assign(machine)
    frames = [rows[gpu.address][2] for gpu in machine.gpus()]
    lost = [row for row in frames if row.flags & resources.UNSET]
    assert lost
    assert {(row.start, row.end + 1) for row in lost} == {(0, 128 * building_blocks.GIB)}
    _assert_addresses(machine)


def test_virtual_functions_share_the_bars_of_their_physical_function():
    machine = defects.virtual_functions(hgx_h100.machine(), "0000:18:00.0", 3)
    rows = resources.assign(machine)
    whole = rows["0000:18:00.0"][resources.SRIOV_ROW + 2]
    shares = [
        rows[virtual.address][2]
        for virtual in machine.devices()["0000:18:00.0"].virtual_functions()
    ]
    assert shares[0].start == whole.start
    assert shares[1].start == shares[0].end + 1
    assert shares[2].end <= whole.end
