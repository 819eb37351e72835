# SPDX-License-Identifier: Apache-2.0
"""``metrics``: Prometheus metrics of a cloud's GPU hosts."""

import argparse
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from nova_gpu_passthrough.cli import terminal
from nova_gpu_passthrough.cli.cloud_command import CloudCommand
from nova_gpu_passthrough.errors import UserError
from nova_gpu_passthrough.files import generated_files

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

    from nova_gpu_passthrough.cloud.report.exporter import Exporter

#: Default time between readings of the cloud, in seconds.
_INTERVAL = 60.0


class ExportMetrics(CloudCommand):
    """Export metrics of GPU hosts to Prometheus: GPUs by state, servers that fit, stranded GPUs.

    Prints the metrics once; with --textfile writes them for node_exporter's textfile collector;
    with --listen serves them over HTTP at /metrics and reads the cloud periodically, until Ctrl-C
    or SIGTERM. While the cloud cannot be read, the last values are served, and
    nova_gpu_read_success is 0.

    Free CPUs and memory by NUMA node and missing GPUs need --fleet, which is read once at the
    start.

    Needs role admin, or policies that permit reading: see "An auditor" in the documentation.
    """

    examples = """
        nova-gpu metrics
          print the metrics once
        nova-gpu metrics --textfile /var/lib/node_exporter/textfile/gpu.prom --quiet
          write them for node_exporter, from a timer
        nova-gpu metrics --fleet fleet.yaml --listen 127.0.0.1:9838
          serve them
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser of the command's options."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        outputs = parser.add_mutually_exclusive_group()
        outputs.add_argument(
            "--textfile",
            metavar="FILE",
            type=_textfile,
            help="write to this file, whose name must end in .prom; it is replaced atomically",
        )
        outputs.add_argument(
            "--listen",
            metavar="ADDRESS:PORT",
            type=_address,
            help="serve over HTTP, for instance at 127.0.0.1:9838 or [::1]:9838, without "
            "encryption and authentication",
        )
        parser.add_argument(
            "--interval",
            metavar="SECONDS",
            type=_seconds,
            default=_INTERVAL,
            help=f"with --listen: seconds between readings of the cloud (default: {_INTERVAL:g})",
        )
        parser.add_argument(
            "--no-devices",
            action="store_true",
            help="leave out nova_gpu_device_state, which has a time series for each GPU",
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Read the cloud, then print, write or serve the metrics."""
        # Imported here to keep nova-gpu --help fast.
        from prometheus_client import CollectorRegistry

        if parsed_args.textfile:
            # First, because reading the cloud may take long.
            generated_files.check_place(parsed_args.textfile)
        exporter, registry = self._exporter(parsed_args), CollectorRegistry()
        registry.register(exporter)
        if parsed_args.listen:
            return self._serve(exporter, registry, parsed_args)
        exporter.refresh()
        if parsed_args.textfile:
            self.interrupted = f"{parsed_args.textfile} may have been written"
            _write(parsed_args.textfile, registry)
            self.inform(f"wrote {parsed_args.textfile}")
            return 0
        from prometheus_client import generate_latest

        sys.stdout.write(generate_latest(registry).decode())
        return 0

    def _exporter(self, options: argparse.Namespace) -> "Exporter":
        # First, so that an invalid fleet file or clouds.yaml ends the command before it serves.
        fleet, connection = self.load_fleet(options), self.connection(options)
        from nova_gpu_passthrough.cloud.report import snapshot
        from nova_gpu_passthrough.cloud.report.exporter import Exporter

        def take() -> snapshot.Snapshot:
            if options.listen:
                return snapshot.take(connection, fleet, names=False)
            with terminal.progress_bar() as report_progress:
                return snapshot.take(connection, fleet, report_progress, names=False)

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
            self.print_notes([f"serving at {_url(address, server.server_port)}"])
            self._refresh_forever(exporter, options.interval)
        except KeyboardInterrupt:
            return 0
        finally:
            signal.signal(signal.SIGTERM, before)
            server.shutdown()
            server.server_close()
            thread.join()

    def _refresh_forever(self, exporter: "Exporter", interval: float) -> NoReturn:
        last_failure = ""
        while True:
            failure = self._refresh(exporter)
            if failure and failure != last_failure:
                self.app.LOG.error("the cloud could not be read: %s", failure)
            elif last_failure and not failure:
                self.print_notes(["the cloud can be read again"])
            last_failure = failure
            time.sleep(interval)

    def _refresh(self, exporter: "Exporter") -> str:
        """Read the cloud; return why that failed, or an empty text."""
        from nova_gpu_passthrough.cloud import failures

        try:
            with failures.as_user_errors(self.role, lambda: self._connection):
                exporter.refresh()
        except UserError as error:
            return str(error)
        except Exception as error:
            # Even an unexpected error must not end a service.
            if self.app.options.debug:
                self.app.LOG.exception(error)
            return f"{type(error).__name__}: {error} (add --debug to see the traceback)"
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
    seconds = float(text)
    # This also refuses inf and nan.
    if not 1 <= seconds <= 86400:
        raise argparse.ArgumentTypeError(f"{text!r}: expected 1 to 86400 seconds")
    return seconds


def _url(address: str, port: int) -> str:
    return f"http://{f'[{address}]' if ':' in address else address}:{port}/metrics"
