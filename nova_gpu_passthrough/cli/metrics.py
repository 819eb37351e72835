# SPDX-License-Identifier: Apache-2.0
"""``metrics``: the cloud's GPU hosts for Prometheus."""

import argparse
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from nova_gpu_passthrough.cli import progress
from nova_gpu_passthrough.cli.cloud import CloudCommand
from nova_gpu_passthrough.errors import UserError

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

    from nova_gpu_passthrough.cloud.report.exporter import Exporter

#: Seconds between readings of the cloud.
_INTERVAL = 60.0


class Metrics(CloudCommand):
    """Tell Prometheus of GPU hosts: GPUs by state, what still fits, what is stranded.

    Prints the metrics once; with --textfile writes them for node_exporter's textfile collector;
    with --listen serves them over HTTP at /metrics and reads the cloud again and again, until
    Ctrl-C or SIGTERM. While the cloud cannot be read, what was read last is served on, and
    nova_gpu_read_success is 0.

    Free CPUs and memory by NUMA node and missing GPUs take --fleet, which is read once at the
    start.

    Needs the role admin in a project.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Options of the command."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        where = parser.add_mutually_exclusive_group()
        where.add_argument(
            "--textfile",
            metavar="FILE",
            type=_textfile,
            help="write to this file, whose name must end in .prom; it is replaced as a whole",
        )
        where.add_argument(
            "--listen",
            metavar="ADDRESS:PORT",
            type=_address,
            help="serve, for instance at 127.0.0.1:9838 or [::1]:9838; there is no encryption and "
            "no password",
        )
        parser.add_argument(
            "--interval",
            metavar="SECONDS",
            type=_seconds,
            default=_INTERVAL,
            help=f"with --listen: wait so long between readings of the cloud ({_INTERVAL:g})",
        )
        parser.add_argument(
            "--no-devices",
            action="store_true",
            help="leave out nova_gpu_device_state, which has a time series for each GPU",
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Read, then print, write or serve."""
        # Modules are imported where they are used: nova-gpu --help shall not wait for them.
        from prometheus_client import CollectorRegistry

        exporter, registry = self._exporter(parsed_args), CollectorRegistry()
        registry.register(exporter)
        if parsed_args.listen:
            return self._serve(exporter, registry, parsed_args)
        exporter.refresh()
        if parsed_args.textfile:
            _write(parsed_args.textfile, registry)
            return 0
        from prometheus_client import generate_latest

        sys.stdout.write(generate_latest(registry).decode())
        return 0

    def _exporter(self, options: argparse.Namespace) -> "Exporter":
        # A fleet file or clouds.yaml that makes no sense ends the command before it serves.
        fleet, connection = self.fleet(options), self.connection(options)
        from nova_gpu_passthrough.cloud.report import snapshot
        from nova_gpu_passthrough.cloud.report.exporter import Exporter

        def take() -> snapshot.Snapshot:
            if options.listen:
                return snapshot.take(connection, fleet, names=False)
            with progress.shown() as tell:
                return snapshot.take(connection, fleet, tell, names=False)

        return Exporter(take, not options.no_devices)

    def _serve(
        self, exporter: "Exporter", registry: "CollectorRegistry", options: argparse.Namespace
    ) -> int:
        from prometheus_client import ProcessCollector, start_http_server

        address, port = options.listen
        ProcessCollector(registry=registry)
        try:
            server, thread = start_http_server(port, address, registry)
        except OSError as error:
            raise UserError(
                f"cannot listen at {address}:{port}: {error.strerror or error}; name another "
                "ADDRESS:PORT"
            ) from None
        before = signal.signal(signal.SIGTERM, signal.default_int_handler)
        try:
            self.tell([f"serving at {_url(address, server.server_port)}"])
            self._read_for_ever(exporter, options.interval)
        except KeyboardInterrupt:
            return 0
        finally:
            signal.signal(signal.SIGTERM, before)
            server.shutdown()
            server.server_close()
            thread.join()

    def _read_for_ever(self, exporter: "Exporter", interval: float) -> NoReturn:
        failure = ""
        while True:
            found = self._try(exporter)
            if found and found != failure:
                self.app.LOG.error("the cloud could not be read: %s", found)
            elif failure and not found:
                self.tell(["the cloud can be read again"])
            failure = found
            time.sleep(interval)

    def _try(self, exporter: "Exporter") -> str:
        """Read the cloud; return why that failed, or an empty text."""
        from nova_gpu_passthrough.cloud import failures

        try:
            with failures.translated(self.role, lambda: self._connection):
                exporter.refresh()
        except UserError as error:
            return str(error)
        except Exception as error:
            # Not to be expected; but a service goes on.
            if self.app.options.debug:
                self.app.LOG.exception(error)
            return f"{type(error).__name__}: {error} (add --debug to see where it comes from)"
        return ""


def _write(path: Path, registry: "CollectorRegistry") -> None:
    from prometheus_client import write_to_textfile

    try:
        write_to_textfile(str(path), registry)
    except OSError as error:
        raise UserError(f"{path}: {error.strerror or error}; it was not written") from None


def _textfile(text: str) -> Path:
    if not text.endswith(".prom"):
        raise argparse.ArgumentTypeError(
            f"{text!r} does not end in .prom: node_exporter would not read it"
        )
    return Path(text)


def _address(text: str) -> tuple[str, int]:
    address, colon, port = text.rpartition(":")
    in_brackets = address.startswith("[") and address.endswith("]")
    if in_brackets:
        address = address[1:-1]
    if not colon or not address or not port.isdecimal() or int(port) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r}: expected ADDRESS:PORT, such as 127.0.0.1:9838")
    if ":" in address and not in_brackets:
        raise argparse.ArgumentTypeError(f"{text!r}: expected an IPv6 address in brackets")
    return address, int(port)


def _seconds(text: str) -> float:
    number = float(text)
    # Not infinity, and nothing that is no number.
    if not 1 <= number <= 86400:
        raise argparse.ArgumentTypeError(f"{text!r}: expected 1 to 86400 seconds")
    return number


def _url(address: str, port: int) -> str:
    return f"http://{f'[{address}]' if ':' in address else address}:{port}/metrics"
