# SPDX-License-Identifier: Apache-2.0
"""Hosts to be bought."""

import pytest

from nova_gpu_passthrough.errors import UserError
from nova_gpu_passthrough.simulator import additions
from tests.unit.simulator.fleets import fleet, plain

FLEET = fleet(plain(4), plain(8))


def add(*words, pinned=False):
    return additions.hosts(words, FLEET, pinned)


def test_hosts_like_one_that_there_is():
    found = add("2xhost01", "1xhost01")
    assert [one.name for one in found] == ["host01+1", "host01+2", "host01+3"]
    assert all(one.state == FLEET[1].state for one in found)


@pytest.mark.parametrize(
    "name, model, gpus",
    [
        ("HGX-H100", "H100-SXM", 8),
        ("hgx-h100-4", "H100-SXM", 4),
        ("DGX-H200", "H200-SXM", 8),
        ("A100-SXM-80GB", "A100-SXM-80GB", 8),
        ("HGX-A100-SXM-40GB-4", "A100-SXM-40GB", 4),
        ("MI300X", "MI300X", 8),
    ],
)
def test_boards(name, model, gpus):
    (found,) = add(f"1x{name}")
    assert (found.model, found.gpus) == (model, gpus)
    assert (found.vcpus, found.ram_mib) == (28 * gpus, 256 * 1024 * gpus)
    assert len(found.state.cells) == 2
    assert {group.link for group in found.state.groups()} == {1}


def test_a_board_s_host_as_it_is_told():
    (found,) = add("1xHGX-H100,vcpus=96,ram-gib=1024", pinned=True)
    assert (found.vcpus, found.ram_mib) == (0, 1024 * 1024)
    assert [cell.pinned_cpus for cell in found.state.cells] == [48, 48]
    (found,) = add("1xHGX-H100,ram-gib=1024")
    assert (found.vcpus, found.ram_mib) == (224, 1024 * 1024)


@pytest.mark.parametrize(
    "word, expected",
    [
        ("HGX-H100", "expected COUNTxHOST"),
        ("0xHGX-H100", "expected COUNTxHOST"),
        ("9999999xHGX-H100", "expected COUNTxHOST"),
        ("1xHGX-H100,cpus=3", "expected COUNTxHOST"),
        ("1xHGX-A100", "may be A100-SXM-40GB-8, A100-SXM-80GB-8; name one"),
        ("1xHGX-H1000", "there is no board and no host HGX-H1000; expected one of .*H100-SXM-8"),
        ("1xHGX-H100-5", "no board and no host"),
        ("1xhost01,vcpus=3", "host host01 has its own vCPUs"),
    ],
)
def test_words_that_make_no_sense(word, expected):
    with pytest.raises(UserError, match=f"--add {word}: .*{expected}"):
        add(word)
