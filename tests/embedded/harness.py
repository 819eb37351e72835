# SPDX-License-Identifier: Apache-2.0
"""The Nova test case on which the embedded cloud is based, used without a test runner."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import sys
import types
import warnings
from collections.abc import Mapping
from typing import Any
from unittest import mock

import fixtures
import sqlalchemy.pool

import tests.embedded  # noqa: F401  (sets the threading mode before Nova is imported)

_hook, _handlers, _level = sys.excepthook, logging.root.handlers[:], logging.root.level
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from nova import context as nova_context
    from nova.tests.fixtures import libvirt as fakelibvirt
    from nova.tests.functional.libvirt import base
    from nova.virt.libvirt import driver as libvirt_driver
    from nova.virt.libvirt import host as libvirt_host
    from oslo_config import cfg
    from oslo_db.sqlalchemy import engines
# Nova's test module configures logging when imported.
sys.excepthook, logging.root.handlers[:] = _hook, _handlers
logging.root.setLevel(_level)

from tests.embedded.fleet import GpuHost  # noqa: E402

Config = Mapping[tuple[str | None, str], Any]


@dataclasses.dataclass(frozen=True)
class LogLine:
    """One captured log record."""

    level: str
    logger: str
    message: str


class LogCapture(logging.Handler):
    """Keep the log of all services from INFO, and of the scheduler from DEBUG."""

    VERBOSE = ("nova.filters", "nova.scheduler", "nova.weights", "nova_gpu_passthrough")

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[LogLine] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno >= logging.INFO or record.name.startswith(self.VERBOSE):
            self.lines.append(LogLine(record.levelname, record.name, record.getMessage()))


@contextlib.contextmanager
def _quiet() -> Any:
    """Do not print the log of Nova's services and cleanups on the console."""
    root = logging.getLogger()
    level, handlers = root.level, root.handlers[:]
    root.handlers = [logging.NullHandler()]
    try:
        yield
    finally:
        root.handlers = handlers
        root.setLevel(level)


def _only_power_off(
    driver: Any,
    context: Any,
    instance: Any,
    dest: str,
    flavor: Any,
    network_info: Any,
    block_device_info: Any = None,
    timeout: int = 0,
    retry_interval: int = 0,
) -> str:
    driver.power_off(instance, timeout, retry_interval)
    return "[]"


class _KeptConnections(sqlalchemy.pool.QueuePool):
    """A pool for the SQLite files of native threads: oslo.db would open them for every query."""

    def __init__(self, creator: Any, **options: Any) -> None:
        super().__init__(creator, **{**options, "max_overflow": -1})


class NovaHarness(base.ServersTestBase):
    """Nova's libvirt test case with hosts of any size and any options.

    :meth:`up` and :meth:`down` do what a test runner does around a test.
    """

    ADMIN_API = True
    microversion = "latest"

    def __init__(self, config: Config, placement_config: Config, log: LogCapture) -> None:
        super().__init__("runTest")
        self._config = config
        self._placement_config = placement_config
        self._outer = contextlib.ExitStack()
        self._log = log

    def runTest(self) -> None:
        """Do nothing: the test case exists for its fixtures."""

    def up(self) -> None:
        """Start all services but the computes."""
        self._outer.enter_context(_quiet())
        self._outer.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        try:
            self.setUp()
        except BaseException:
            self.down()
            raise

    def down(self) -> None:
        """Run all cleanups, then raise the errors of those that failed."""
        errors: list[Exception] = []
        while self._cleanups:
            function, args, kwargs = self._cleanups.pop()
            try:
                function(*args, **kwargs)
            except Exception as error:
                errors.append(error)
        self._outer.close()
        if errors:
            raise ExceptionGroup("the embedded cloud did not stop cleanly", errors)

    def setUp(self) -> None:
        pools = types.SimpleNamespace(**{**vars(sqlalchemy.pool), "NullPool": _KeptConnections})
        with mock.patch.object(engines, "pool", pools):
            super().setUp()
        # This machine's sysfs has no fake devices. A plain value, since Nova copies it with every
        # device specification for each candidate that a filter tries.
        self.useFixture(
            fixtures.MockPatch("nova.pci.utils.is_physical_function", return_value=True)
        )
        self.useFixture(
            fixtures.MockPatch("nova.pci.utils.get_function_by_ifname", return_value=(None, False))
        )
        self.useFixture(
            fixtures.MockPatchObject(
                libvirt_host.Host,
                "get_online_cpus",
                new=lambda host: set(range(host.get_connection().getInfo()[2])),
            )
        )

        # Nova runs a program that a minimal system does not have.
        self.useFixture(
            fixtures.MockPatchObject(
                libvirt_driver.LibvirtDriver,
                "get_host_uptime",
                return_value=" 12:00:00 up 1 day, 0 users, load average: 0.00, 0.00, 0.00",
            )
        )
        # There is no disk to copy.
        self.useFixture(
            fixtures.MockPatchObject(
                libvirt_driver.LibvirtDriver, "migrate_disk_and_power_off", new=_only_power_off
            )
        )
        # The driver uses CONF.host as its own host, which is wrong for all computes except one.
        confirm = libvirt_driver.LibvirtDriver.confirm_migration

        def confirm_migration(driver: Any, context: Any, migration: Any, *args: Any) -> None:
            with mock.patch.object(libvirt_driver.CONF, "host", migration.source_compute):
                confirm(driver, context, migration, *args)

        self.useFixture(
            fixtures.MockPatchObject(
                libvirt_driver.LibvirtDriver, "confirm_migration", new=confirm_migration
            )
        )

    def _setup_services(self) -> None:
        warnings.simplefilter("ignore")
        logging.getLogger().addHandler(self._log)
        self.addCleanup(logging.getLogger().removeHandler, self._log)
        for (group, option), value in self._config.items():
            self.flags(group=group, **{option: value})
        for (group, option), value in self._placement_config.items():
            with contextlib.suppress(cfg.NoSuchGroupError, cfg.NoSuchOptError):
                self.placement.fixture.conf_fixture.config(group=group, **{option: value})
        super()._setup_services()
        self.admin_context = nova_context.get_admin_context()

    def _setup_scheduler_service(self) -> Any:
        return self.start_service("scheduler")

    def start_host(self, host: GpuHost) -> None:
        """Start the compute service of a host.

        ``device_spec`` is one option of the whole process. It has the value of a compute while this
        starts and is empty afterwards, as on a scheduler.
        """
        pci_info = host.pci_info
        connection = fakelibvirt.Connection(
            "qemu:///system",
            version=fakelibvirt.FAKE_LIBVIRT_VERSION,
            hv_version=fakelibvirt.FAKE_QEMU_VERSION,
            host_info=host.host_info,
            pci_info=pci_info,
            hostname=host.name,
        )
        self.libvirt.update_sriov_mac_address_mapping(pci_info.get_pci_address_mac_mapping())
        with self._device_spec(host):
            self.start_compute(host.name, connection=connection)

    def restart_host(self, host: GpuHost) -> None:
        """Replace a host's compute service by a new one with the same guests."""
        with self._device_spec(host):
            self.restart_compute_service(host.name)

    @contextlib.contextmanager
    def _device_spec(self, host: GpuHost) -> Any:
        self.flags(group="pci", device_spec=host.device_spec)
        try:
            yield
        finally:
            self.flags(group="pci", device_spec=[])
