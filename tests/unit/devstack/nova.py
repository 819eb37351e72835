# SPDX-License-Identifier: Apache-2.0
"""Load configuration files as Nova does, with the aliases and devices that Nova parses."""

import json

import nova.conf
from nova.pci import devspec, request
from oslo_config import cfg
from oslo_config import fixture as config_fixture

from nova_gpu_passthrough import conf as own

_PARTS = ("compute", "libvirt", "netconf", "pci", "scheduler")


class Loaded:
    """The options in these files; a later file overrides an earlier one."""

    def __init__(self, files):
        self.options = cfg.ConfigOpts()
        for part in _PARTS:
            getattr(nova.conf, part).register_opts(self.options)
        for group, options in own.list_opts():
            self.options.register_opts(options, group=group)
        paths = [str(path) for path in files]
        self.options([], default_config_files=paths, default_config_dirs=[])
        #: Names of the aliases.
        self.aliases = set(self._aliases())
        specs = map(json.loads, self.options.pci.device_spec)
        #: Tags of each entry, including those of this package.
        self.device_specs = [devspec.PciDeviceSpec(spec).tags for spec in specs]

    def _aliases(self):
        fixture = config_fixture.Config(nova.conf.CONF)
        fixture.setUp()
        request.get_alias_from_config.cache_clear()
        try:
            fixture.config(group="pci", alias=self.options.pci.alias)
            by_placement = self.options.filter_scheduler.pci_in_placement
            fixture.config(group="filter_scheduler", pci_in_placement=by_placement)
            return request.get_alias_from_config()
        finally:
            fixture.cleanUp()
            request.get_alias_from_config.cache_clear()


def loaded(*files):
    """Load configuration files."""
    return Loaded(files)
