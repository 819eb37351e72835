# SPDX-License-Identifier: Apache-2.0
"""Synthetic output of ``nvidia-smi`` on the servers of this package, one file per command.

``python -m tests.trees.tool_output`` rewrites the files; a test fails if they are out of date.
"""

from pathlib import Path

from tests.trees import a100_pcie, hgx_h100, l40s, nvidia_smi

FOLDER = Path(__file__).parent


def contents() -> dict[str, str]:
    """Return the contents by file name."""
    hgx, cards, pairs = hgx_h100.machine(), l40s.machine(), a100_pcie.machine()
    return {
        "topo-m-hgx-h100.txt": nvidia_smi.topology(hgx, nvidia_smi.all_linked(hgx, 18)),
        "topo-m-l40s.txt": nvidia_smi.topology(cards),
        "topo-m-a100-pcie-nvlink-bridge-pairs.txt": nvidia_smi.topology(pairs, a100_pcie.BRIDGES),
        "nvlink-status-hgx-h100.txt": nvidia_smi.link_status(hgx, 18, "26.562"),
        "nvlink-remote-hgx-h100.txt": nvidia_smi.remote_links_to_switches(hgx),
        "nvlink-remote-a100-pcie-nvlink-bridge-pairs.txt": nvidia_smi.remote_links_to_gpus(
            pairs, a100_pcie.BRIDGES
        ),
        "list-hgx-h100.txt": nvidia_smi.listing(hgx),
        "query-gpu-hgx-h100.csv": nvidia_smi.query(hgx),
        "query-gpu-a100-pcie-nvlink-bridge-pairs.csv": nvidia_smi.query(pairs),
    }


def read(name: str) -> str:
    """Return the text of a file in this folder."""
    return FOLDER.joinpath(name).read_text()
