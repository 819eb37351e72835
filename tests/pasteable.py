# SPDX-License-Identifier: Apache-2.0
"""Check that a fix can be pasted: its syntax, and that its programs and options exist."""

import argparse
import importlib.metadata
import re
import shlex
import subprocess

from nova_gpu_passthrough.inventory import shell_fix

#: Programs of hosts, besides those whose commands are checked below.
PROGRAMS = {
    *("apt-get", "dnf", "zypper", "grub2-mkconfig", "grubby", "update-grub"),
    *("cat", "cp", "dmesg", "echo", "grep", "lspci", "modprobe", "scp", "ssh", "systemctl"),
    *("fmpm", "kolla-ansible", "nova-manage", "nvidia-smi"),
}
#: The commands of openstackclient and osc-placement, with the options that fixes use.
OPENSTACK = {
    "aggregate set": {"--property"},
    "aggregate unset": {"--property"},
    "compute service set": {"--enable", "--disable"},
    "flavor set": {"--project", "--property"},
    "flavor show": set(),
    "flavor unset": {"--property"},
    "limit create": {"--service", "--region", "--project", "--resource-limit"},
    "limit set": {"--resource-limit"},
    "registered limit create": {"--service", "--region", "--default-limit"},
    "registered limit delete": set(),
    "registered limit list": {"--resource-name", "-f", "-c"},
    "resource provider allocation unset": {"--provider"},
    "resource provider delete": set(),
    "resource provider inventory set": {"--amend", "--resource"},
    "resource provider show": {"--allocations"},
    "server migrate": {"--live-migration"},
    "server show": set(),
}
#: Options of openstackclient itself.
_GLOBAL = {"--os-placement-api-version": 1}
_SENTENCE = re.compile(r"[A-Z0-9].*[.:)]", re.DOTALL)


def check(fix):
    """Fail if a fix is neither prose nor a script whose commands exist."""
    if not fix:
        return
    lines = fix.splitlines()
    if not shell_fix.is_script(fix):
        assert len(lines) == 1, f"several lines, and none is a command: {fix}"
        assert _SENTENCE.fullmatch(fix), f"not a sentence: {fix}"
        return
    for line in lines:
        assert shell_fix.is_command(line) or line.startswith("# "), f"{line!r} in: {fix}"
        if line.startswith("# "):
            assert _SENTENCE.fullmatch(line[2:]), f"not a sentence: {line!r} in: {fix}"
    done = subprocess.run(["bash", "-n"], input=fix, text=True, capture_output=True)
    assert (done.returncode, done.stderr) == (0, ""), fix
    for line in filter(shell_fix.is_command, lines):
        for words in simple_commands(line):
            check_command(words)


def simple_commands(line):
    """Yield the words of each command in a line, without redirections and loops."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;<>()")
    lexer.whitespace_split = True
    words = []
    for word in [*lexer, ";"]:
        if word in ("|", "&&", ";", "||", "$", "(", ")"):
            words = words[1:] if words[:1] == ["do"] else words
            if words and words[0] not in ("for", "done"):
                yield words
            words = []
        elif word not in (">", "<"):
            words.append(word)


def check_command(words):
    """Fail if a program, its command or one of its options does not exist."""
    program, *arguments = words
    if program == "nova-gpu":
        _parse_nova_gpu(arguments)
    elif program == "openstack":
        command, arguments = openstack_command(arguments)
        options = {word for word in arguments if re.match("--?[a-z]", word)}
        assert options <= OPENSTACK[command], words
    else:
        assert program in PROGRAMS, words
    if program == "ssh":
        check_command(arguments[1:])


def openstack_command(arguments):
    """Return a command of openstackclient and its arguments."""
    while arguments and arguments[0] in _GLOBAL:
        arguments = arguments[1 + _GLOBAL[arguments[0]] :]
    for count in range(len(arguments), 0, -1):
        if (name := " ".join(arguments[:count])) in OPENSTACK:
            return name, arguments[count:]
    raise AssertionError(f"unknown command: openstack {shlex.join(arguments)}")


def _parse_nova_gpu(arguments):
    """Parse a command line of ``nova-gpu`` with the command's own parser."""
    group = "nova_gpu_passthrough.cli"
    points = {point.name: point for point in importlib.metadata.entry_points(group=group)}
    for count in (2, 1):
        point = points.get("_".join(arguments[:count]))
        if point is not None:
            parser = point.load()(None, None).get_parser("nova-gpu")
            parser.exit_on_error = False
            try:
                parser.parse_args(arguments[count:])
            except (argparse.ArgumentError, SystemExit) as error:
                raise AssertionError(f"nova-gpu {shlex.join(arguments)}: {error}") from None
            return
    raise AssertionError(f"unknown command: nova-gpu {shlex.join(arguments)}")
