# SPDX-License-Identifier: Apache-2.0
"""RabbitMQ on loopback, as the invoking user, without its scripts.

They change the user, write below /var and leave a port mapper (epmd) behind.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from tests.cloud import ports
from tests.cloud.packages import Programs
from tests.cloud.processes import Keeper, Service

PORTS = ("rabbitmq", "rabbitmq_peers", "epmd")
_CONFIGURATION = """\
listeners.tcp.loopback = {address}:{port}
log.console = true
log.console.level = warning
log.file = false
disk_free_limit.absolute = 50MB
vm_memory_high_watermark.absolute = 1GB
"""


def services(
    programs: Programs, directory: Path, numbers: dict[str, int], *, logs: Path, keeper: Keeper
) -> tuple[Service, Service]:
    """Return the port mapper and the broker; start the port mapper first."""
    directory.mkdir(parents=True, exist_ok=True)
    port = numbers["rabbitmq"]
    configuration = directory / "rabbitmq.conf"
    configuration.write_text(_CONFIGURATION.format(address=ports.ADDRESS, port=port))
    (directory / "enabled_plugins").write_text("[].\n")
    runtime = programs.erlang_runtime
    environment = {
        **os.environ,
        **programs.environment,
        "HOME": str(directory),
        "ROOTDIR": str(programs.erlang),
        "BINDIR": str(runtime),
        "EMU": "beam",
        "PROGNAME": "erl",
        "ERL_EPMD_PORT": str(numbers["epmd"]),
        "ERL_EPMD_ADDRESS": ports.ADDRESS,
        "ERL_LIBS": str(programs.rabbitmq / "plugins"),
        "ERL_MAX_PORTS": "65536",
        "RABBITMQ_HOME": str(programs.rabbitmq),
        "RABBITMQ_NODENAME": "rabbit@localhost",
        "RABBITMQ_DIST_PORT": str(numbers["rabbitmq_peers"]),
        "RABBITMQ_CONFIG_FILE": str(configuration),
        "RABBITMQ_CONF_ENV_FILE": str(directory / "none"),
        "RABBITMQ_ADVANCED_CONFIG_FILE": str(directory / "none"),
        "RABBITMQ_MNESIA_BASE": str(directory / "mnesia"),
        "RABBITMQ_MNESIA_DIR": str(directory / "mnesia/rabbit"),
        "RABBITMQ_FEATURE_FLAGS_FILE": str(directory / "feature_flags"),
        "RABBITMQ_GENERATED_CONFIG_DIR": str(directory / "generated"),
        "RABBITMQ_SCHEMA_DIR": str(directory / "schema"),
        "RABBITMQ_LOG_BASE": str(directory / "log"),
        "RABBITMQ_LOGS": "-",
        "RABBITMQ_PID_FILE": str(directory / "pid"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(directory / "enabled_plugins"),
        "RABBITMQ_PLUGINS_DIR": str(programs.rabbitmq / "plugins"),
        "RABBITMQ_PLUGINS_EXPAND_DIR": str(directory / "plugins"),
    }

    def make(name: str, command: Sequence[str | Path], listens: int) -> Service:
        return Service(
            name,
            command,
            keeper=keeper,
            log=logs / f"{name}.log",
            environment=environment,
            directory=directory,
            ready=lambda _: ports.listening(listens),
            patience=20,
        )

    mapper = make("epmd", [runtime / "epmd"], numbers["epmd"])
    broker = make("rabbitmq", [runtime / "erlexec", *_arguments(programs)], port)
    return mapper, broker


def url(port: int) -> str:
    """Return the transport URL for oslo.messaging."""
    return f"rabbit://guest:guest@{ports.ADDRESS}:{port}/"


#: Accepted messages survive a restart of the broker, and clients reconnect immediately.
MESSAGING = {
    "amqp_durable_queues": True,
    "rabbit_retry_interval": 1,
    "rabbit_retry_backoff": 1,
    "rabbit_interval_max": 3,
    "kombu_reconnect_delay": 0.5,
    "heartbeat_timeout_threshold": 20,
    "heartbeat_rate": 4,
}


def _arguments(programs: Programs) -> list[str]:
    """Return the arguments of Erlang in RabbitMQ's script, without production tuning."""
    return [
        *("+W", "w", "+S", "2:2", "+sbwt", "none", "+sbwtdcpu", "none", "+sbwtdio", "none"),
        *("-noinput", "-boot", "start_sasl", "-s", "rabbit", "boot"),
        *("-start_epmd", "false"),
        *("-kernel", "inet_dist_use_interface", "{127,0,0,1}"),
        *("-kernel", "prevent_overlapping_partitions", "false"),
        *("-syslog", "logger", "[]", "-syslog", "syslog_error_logger", "false"),
    ]
