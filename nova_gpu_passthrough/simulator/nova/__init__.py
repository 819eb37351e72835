# SPDX-License-Identifier: Apache-2.0
"""Rankers of the simulator that choose hosts as nova-scheduler does; they need Nova."""

import logging

# Which of its parts Nova's service library loads is nothing to people who run a simulation.
logging.getLogger("oslo_service").setLevel(logging.WARNING)
