# SPDX-License-Identifier: Apache-2.0
"""Rankers of the simulator that choose hosts as nova-scheduler does; they need Nova."""

import logging

# Hide which modules Nova's service library loads: it does not concern users of the simulator.
logging.getLogger("oslo_service").setLevel(logging.WARNING)
