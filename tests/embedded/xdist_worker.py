# SPDX-License-Identifier: Apache-2.0
"""Let a pytest-xdist worker run with eventlet, which Nova before 34 needs.

The main thread of a worker waits for messages that a native thread receives. Locks patched by
eventlet belong to one native thread, so with them the worker would wait forever.
"""

import threading

import eventlet.patcher
import execnet.gateway_base

_native = eventlet.patcher.original("threading")


def start() -> None:
    """Make the worker use native locks; call it before pytest is configured."""
    for model in (
        execnet.gateway_base.ThreadExecModel,
        execnet.gateway_base.MainThreadOnlyExecModel,
    ):
        for name in ("Lock", "RLock", "Event"):
            setattr(model, name, lambda self, name=name: getattr(_native, name)())


def finish() -> None:
    """Restore native locks for events created before the patching, which the worker uses to end."""
    threading._allocate_lock = _native._allocate_lock
