# SPDX-License-Identifier: Apache-2.0
"""Makes a pytest-xdist worker survive eventlet, which Novas older than 34 need.

A worker's main thread waits for orders that a native thread receives. Locks patched by eventlet
belong to one native thread, so with them it would wait for ever.
"""

import threading

import eventlet.patcher
import execnet.gateway_base

_native = eventlet.patcher.original("threading")


def start() -> None:
    """Have the worker wait on native locks; call it before pytest is configured."""
    for model in (
        execnet.gateway_base.ThreadExecModel,
        execnet.gateway_base.MainThreadOnlyExecModel,
    ):
        for name in ("Lock", "RLock", "Event"):
            setattr(model, name, lambda self, name=name: getattr(_native, name)())


def finish() -> None:
    """Let the events that are older than the patching work again, for the worker's farewell."""
    threading._allocate_lock = _native._allocate_lock
