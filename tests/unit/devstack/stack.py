# SPDX-License-Identifier: Apache-2.0
"""A fake DevStack: its functions are recorded, its directories are below a temporary one."""

import shlex
import subprocess
import sys
from pathlib import Path

from tests import cache

PLUGIN = cache.ROOT / "devstack"
HERE = Path(__file__).parent
#: The phases in the order of stack.sh; each also reads the settings.
PHASES = ("pre-install", "install", "post-config", "extra", "test-config")
_ALL = "mysql,rabbit,key,g-api,placement-api,n-api,n-cond,n-sch,n-cpu,q-svc"
_FILTERS = "ComputeFilter,SameHostFilter,DifferentHostFilter"
#: Runs nova-gpu, but only records apply, and audits a recorded tree if there is one.
_NOVA_GPU = """\
#!/bin/bash
echo "nova-gpu $*" >> "$CALLS"
if [[ "$*" == *" apply "* ]]; then
    echo "$(date)" > "${@: -1:1}.applied"
elif [[ "$1 $2" == "host audit" && -n "$TREE" ]]; then
    exec NOVA_GPU "$@" --root "$TREE"
else
    exec NOVA_GPU "$@"
fi
"""
#: Finds every service and host that is requested.
_OPENSTACK = """\
#!/bin/bash
echo "openstack $*" >> "$CALLS"
[[ "$*" == *" hypervisor list "* ]] || exec echo found
cat "$DATA_DIR/nova_gpu_passthrough/hosts"
"""
#: Lists the units in the file "running", as list-units does.
_SYSTEMCTL = """\
#!/bin/bash
[[ "$1" == list-units ]] && exec cat "$DATA_DIR/../running"
echo "systemctl $*" >> "$CALLS"
"""
_RUN = """\
set -o errexit
source "$HERE/functions.sh"
# In the order of stack.sh and unstack.sh: the first before DevStack's libraries.
source "$PLUGIN/override-defaults"
[[ -r $NOVA_CONF ]] || touch "$NOVA_CONF"
source "$PLUGIN/settings"
source "$PLUGIN/plugin.sh" {phase}
echo "computes $NUMBER_FAKE_NOVA_COMPUTE driver $VIRT_DRIVER" >> "$CALLS"
"""


class Stack:
    """A machine with DevStack; ``localrc`` are the variables of its local.conf."""

    def __init__(self, root, services=_ALL, tree="", **localrc):
        self.root = root
        self.etc, self.units, self.data = root / "etc", root / "units", root / "data"
        self.made = self.data / "nova_gpu_passthrough"
        self._calls = root / "calls"
        for folder in (self.etc, self.units, self.data, root / "bin"):
            folder.mkdir(parents=True)
        self._program("bin/nova-gpu", _NOVA_GPU.replace("NOVA_GPU", str(_beside("nova-gpu"))))
        self._program("bin/python3", f'#!/bin/sh\nexec {sys.executable} "$@"\n')
        self._program("bin/openstack", _OPENSTACK)
        self._program("bin/systemctl", _SYSTEMCTL)
        (root / "running").touch()
        self._program("bin/nova-manage", '#!/bin/sh\necho "nova-manage $*" >> "$CALLS"\n')
        self.environment = {
            "PATH": f"{root}/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "LC_ALL": "C.UTF-8",
            "CALLS": self._calls,
            "BIN": root / "bin",
            "HERE": HERE,
            "PLUGIN": PLUGIN,
            "TREE": tree,
            "GPU_PASSTHROUGH_SYSFS": f"{tree}/sys",
            "DATA_DIR": self.data,
            "SYSTEMD_DIR": self.units,
            "SYSTEMCTL": "systemctl",
            "NOVA_CONF_DIR": self.etc,
            "NOVA_CONF": self.etc / "nova.conf",
            "NOVA_CPU_CONF": self.etc / "nova-cpu.conf",
            "NOVA_FAKE_CONF": self.etc / "nova-fake.conf",
            "PLACEMENT_CONF": self.etc / "placement.conf",
            "NOVA_FILTERS": _FILTERS,
            "NOVA_NUM_CELLS": "1",
            "NOVA_READY_TIMEOUT": "60",
            "NOVA_USE_UNIFIED_LIMITS": "False",
            "NUMBER_FAKE_NOVA_COMPUTE": "1",
            "REGION_NAME": "RegionOne",
            "DEFAULT_IMAGE_NAME": "cirros",
            "STACK_USER": "root",
            "VIRT_DRIVER": "libvirt",
            "HOSTNAME": "devstack",
            "ENABLED_SERVICES": services,
            **localrc,
        }

    def run(self, phase, succeeds=True):
        """Source the plug-in for a phase: ``stack extra``, ``unstack``, ``clean``."""
        text = _RUN.format(phase=phase)
        environment = {name: str(value) for name, value in self.environment.items()}
        done = subprocess.run(
            ["bash", "-c", text],
            env=environment,
            cwd=self.root,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert (done.returncode == 0) is succeeds, done.stdout + done.stderr
        return done.stderr

    def stack(self):
        """Run all phases of stack.sh, which first writes a new nova.conf."""
        self.etc.joinpath("nova.conf").write_text(
            "[DEFAULT]\nmy_ip = 192.0.2.1\n[quota]\ndriver = nova.quota.NoopQuotaDriver\n"
            f"[filter_scheduler]\nenabled_filters = {_FILTERS}\n"
        )
        self.etc.joinpath("nova_cell1.conf").write_text("[conductor]\nworkers = 1\n")
        self.etc.joinpath("placement.conf").write_text("[placement_database]\nmax_pool_size = 5\n")
        for phase in PHASES:
            self.run(f"stack {phase}")

    def calls(self, *words):
        """Return the arguments of the recorded calls that begin with these words."""
        text = self._calls.read_text() if self._calls.exists() else ""
        calls = [shlex.split(line) for line in text.splitlines()]
        return [call[len(words) :] for call in calls if call[: len(words)] == list(words)]

    def files(self):
        """Return the text of all files that the plug-in may have changed, by path."""
        folders = (self.etc, self.units, self.data)
        return {
            path.relative_to(self.root): path.read_text()
            for folder in folders
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        }

    def _program(self, name, text):
        path = self.root / name
        path.write_text(text)
        path.chmod(0o755)


def _beside(name):
    return Path(sys.executable).with_name(name)
