# SPDX-License-Identifier: Apache-2.0
import gc
import os
import signal

from hypothesis import HealthCheck, settings

# The same examples in every run, and no deadline: a busy machine is not a failure. Looking for
# new examples is for a developer's machine: HYPOTHESIS_PROFILE=explore, or --hypothesis-profile.
settings.register_profile(
    "ci", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("explore", deadline=None, max_examples=2000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))

# A shell that runs the tests in the background has Ctrl-C ignored in all that it starts; several
# tests press it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_unconfigure():
    # All results are in. Pytest looks through all objects several times for late errors, and Python
    # once more when it ends, which takes half a minute after many clouds.
    gc.freeze()
