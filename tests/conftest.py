# SPDX-License-Identifier: Apache-2.0
import gc
import os
import signal

from hypothesis import HealthCheck, settings

# Use the same examples in every run, and no deadline, because the machine may be busy. Developers
# can search for new examples with HYPOTHESIS_PROFILE=explore, or --hypothesis-profile.
settings.register_profile(
    "ci", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("explore", deadline=None, max_examples=2000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))

# Processes that a shell starts in the background ignore Ctrl-C, which several tests need.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_unconfigure():
    # All tests have finished. Pytest and Python then collect garbage several times, which takes
    # half a minute after tests with many clouds.
    gc.freeze()
