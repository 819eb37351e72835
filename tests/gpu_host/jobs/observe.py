# SPDX-License-Identifier: Apache-2.0
"""Runs inside the virtual GPU server: ``observe.py STEP...`` writes STEP.json for each step.

It reads /sys itself, so that tests can compare it with what the project reads.
"""

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

DEVICES = Path("/sys/bus/pci/devices")
ATTRIBUTES = (
    "boot_vga",
    "class",
    "current_link_speed",
    "current_link_width",
    "d3cold_allowed",
    "device",
    "driver_override",
    "max_link_speed",
    "max_link_width",
    "numa_node",
    "reset_method",
    "sriov_numvfs",
    "sriov_totalvfs",
    "vendor",
)
GUEST = """
<domain type='qemu'>
  <name>{name}</name>
  <memory unit='MiB'>64</memory>
  <os><type arch='x86_64' machine='q35'>hvm</type></os>
  <devices>
    <controller type='usb' model='none'/>
    {devices}
    <memballoon model='none'/>
  </devices>
</domain>
"""
HOSTDEV = """
    <hostdev mode='subsystem' type='pci' managed='yes'><source>
      <address domain='0x{0}' bus='0x{1}' slot='0x{2}' function='0x{3}'/>
    </source></hostdev>
"""


def system():
    """Return the hardware as kernel and udev see it."""
    return {
        "command_line": Path("/proc/cmdline").read_text().strip(),
        "modules": [line.split()[0] for line in Path("/proc/modules").read_text().splitlines()],
        "iommus": sorted(path.name for path in Path("/sys/class/iommu").glob("*")),
        "nodes": {
            path.name.removeprefix("node"): (path / "distance").read_text().split()
            for path in Path("/sys/devices/system/node").glob("node[0-9]*")
        },
        "devices": {path.name: device(path) for path in sorted(DEVICES.iterdir())},
        "uptime": float(Path("/proc/uptime").read_text().split()[0]),
        "kernel_log": run("dmesg")[1],
    }


def device(path):
    facts = {name: read(path / name) for name in ATTRIBUTES}
    for link in ("driver", "iommu_group"):
        target = path / link
        facts[link] = target.resolve().name if target.exists() else None
    lines = (path / "resource").read_text().split("\n")[:6]
    spans = [[int(word, 16) for word in line.split()[:2]] for line in lines if line]
    facts["bars"] = [end - start + 1 if end else 0 for start, end in spans]
    return facts


def nodedev():
    """Return libvirt's XML of each PCI device."""
    names = run("virsh", "nodedev-list", "--cap", "pci")[1].split()
    return {name: run("virsh", "nodedev-dumpxml", name)[1] for name in names}


def guests():
    """Start each guest of guests.json, alone or after the guests in its "start_before"."""
    return {
        name: guest(name, settings["devices"], settings.get("start_before", {}))
        for name, settings in json.loads(Path("guests.json").read_text()).items()
    }


def guest(name, addresses, start_before):
    for other, devices in start_before.items():
        start(other, devices)
    result = start(name, addresses)
    if result["started"]:
        pid = Path(f"/run/libvirt/qemu/{name}.pid").read_text().strip()
        links = [os.readlink(path) for path in Path(f"/proc/{pid}/fd").iterdir()]
        result["vfio"] = sorted(link for link in links if link.startswith("/dev/vfio/"))
        result["drivers"] = {address: device(DEVICES / address)["driver"] for address in addresses}
    for running in (name, *start_before):
        run("virsh", "destroy", running)
    result["drivers_after"] = {
        address: device(DEVICES / address)["driver"] for address in addresses
    }
    return result


def start(name, addresses):
    devices = "".join(HOSTDEV.format(*re.split("[:.]", address)) for address in addresses)
    Path(f"{name}.xml").write_text(GUEST.format(name=name, devices=devices))
    began = time.monotonic()
    status, _, error = run("virsh", "create", f"{name}.xml")
    return {"started": not status, "error": error, "seconds": time.monotonic() - began}


def audit():
    """Return the result of the project's audit."""
    began = time.monotonic()
    status, output, error = run("nova-gpu", "host", "audit", "-f", "json", "--write", "host.yaml")
    result = {"status": status, "error": error, "seconds": time.monotonic() - began}
    result["findings"] = json.loads(output) if output.startswith("[") else output
    return result


def virtual_functions():
    """Bind the physical function of pf.json to pci-pf-stub and create virtual functions."""
    pf = json.loads(Path("pf.json").read_text())
    path = DEVICES / pf["address"]
    run("modprobe", "pci-pf-stub")
    (path / "driver_override").write_text("pci-pf-stub\n")
    Path("/sys/bus/pci/drivers_probe").write_text(pf["address"])
    (path / "sriov_numvfs").write_text(str(pf["count"]))
    run("udevadm", "settle")
    return {link.resolve().name: device(link.resolve()) for link in sorted(path.glob("virtfn*"))}


def install():
    """Copy the tree "etc" into /etc, as an operator would."""
    return run("cp", "-rv", "--", "etc", "/")[1].splitlines()


def generate():
    """Write the host's files of the generated configuration, from the audit of this boot."""
    return configure("--write", "/")


def compare():
    """Compare the configuration for the audit of this boot with the existing files."""
    return configure("--diff", "/")


def configure(*arguments):
    kept = json.loads(Path("kept.json").read_text())
    only = ("--exclude", kept, "--only", os.uname().nodename)
    status, output, error = run("nova-gpu", "config", "generate", "host.yaml", *only, *arguments)
    return {"status": status, "output": output, "error": error}


def read(path):
    try:
        return path.read_text().strip().strip("\0")
    except OSError:
        return None


def run(*command):
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    return done.returncode, done.stdout, done.stderr


if __name__ == "__main__":
    known = (system, nodedev, guests, audit, virtual_functions, install, generate, compare)
    steps = {step.__name__: step for step in known}
    for step in sys.argv[1:]:
        Path(f"{step}.json").write_text(json.dumps(steps[step](), indent=1))
