# SPDX-License-Identifier: Apache-2.0
"""A compute cloud in one process, built from Nova's own test fixtures.

``fleet`` describes hosts without importing Nova, ``cloud`` runs them. API, conductor, scheduler,
Placement and one compute manager per host are the real ones, libvirt is Nova's fake.

Importing this package sets how Nova runs its tasks, which must happen before Nova's test code is
imported: native threads if Nova's fixtures support them, otherwise eventlet.
"""

import importlib.metadata
import os
import sys
import warnings

#: Whether this Nova's test fixtures run on native threads (older ones need eventlet).
NATIVE_THREADS = int(importlib.metadata.version("nova").split(".")[0]) >= 34

os.environ["OS_NOVA_DISABLE_EVENTLET_PATCHING"] = str(NATIVE_THREADS).lower()
if NATIVE_THREADS:
    # oslo.messaging imports eventlet without using it, and Nova refuses to run on threads then.
    for module in [name for name in sys.modules if name.partition(".")[0] == "eventlet"]:
        del sys.modules[module]

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from nova import monkey_patch  # patches when imported, up to Nova 31

    if hasattr(monkey_patch, "patch"):
        monkey_patch.patch()
