# SPDX-License-Identifier: Apache-2.0
"""The console script ``nova-gpu``: Ctrl-C ends it quietly, also while Python imports the program.

Until a command runs, nothing can have been read, written or changed, so the process may end at any
instruction. `NovaGpu` then lets Ctrl-C raise KeyboardInterrupt, which commands handle.
"""

import os
import signal
from types import FrameType

from nova_gpu_passthrough.errors import INTERRUPTED_STATUS


def main() -> int:
    """Import and run the program; return its exit status."""
    end_on_interrupt()
    from nova_gpu_passthrough.cli.main import main as run

    return run()


def end_on_interrupt() -> None:
    """Let Ctrl-C end the process with one sentence, unless the caller of the process ignores it."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _end)


def raise_on_interrupt() -> None:
    """Let Ctrl-C raise KeyboardInterrupt again, if `end_on_interrupt` changed that."""
    if signal.getsignal(signal.SIGINT) is _end:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _end(signal_number: int, frame: FrameType | None) -> None:
    # Another import may hold locks that sys.stderr or an orderly exit would need.
    os.write(2, b"nova-gpu: interrupted before the command began\n")
    os._exit(INTERRUPTED_STATUS)
