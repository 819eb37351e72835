# SPDX-License-Identifier: Apache-2.0
"""The text of a fix: a shell script that can be pasted, or prose where no command helps.

In a script, each line is a command, or a comment that says where and when to run the commands below
it. Commands begin with a lower-case letter, as do the programs that they run, so a program can
distinguish them from prose, which begins with a capital letter.
"""

import shlex

_COMMENT = "# "


def comment(text: str) -> str:
    """Return a line of a script that explains the commands below it."""
    return _COMMENT + " ".join(text.split())


def command(*words: object) -> str:
    """Return a command line, with its words quoted for the shell."""
    return shlex.join(map(str, words))


def script(*lines: str) -> str:
    """Return a script of comments and commands; empty ones are left out."""
    return "\n".join(line for line in lines if line)


def as_root(host: str, *commands: str, then: str = "") -> str:
    """Return a script of commands that root runs on a host.

    :param then: what to do afterwards that no command does
    """
    last = comment(then) if then else ""
    return script(comment(f"As root on {host}:"), *commands, last)


def generate_files(host: str, *options: str) -> str:
    """Return a script that generates the files of an audited host and shows how to apply them.

    :param options: further options of ``nova-gpu config generate``
    """
    file, folder = f"{host}.yaml", f"{host}.config"
    generate = ("nova-gpu", "config", "generate", file, "--only", host, *options)
    return script(
        comment(f"As root on {host} (in a fleet: nova-gpu config generate --fleet FILE instead):"),
        command("nova-gpu", "host", "audit", "--write", file),
        command(*generate, "--write", folder),
        *follow_steps(folder),
    )


def follow_steps(folder: str) -> tuple[str, str]:
    """Return lines that show how to apply the generated files of a host.

    :param folder: their directory
    """
    steps = f"{folder}/etc/gpu-passthrough/steps.txt"
    return comment("Follow the steps in this file:"), command("cat", steps)


def generates_files(fix: str, host: str) -> bool:
    """Return whether a script generates the files of a host as `generate_files` does."""
    return generate_files(host).partition("\n")[0] in fix.splitlines()


def without_files(fix: str, host: str) -> str:
    """Return a script without the lines of `generate_files`."""
    first, *others = generate_files(host).splitlines()
    lines = fix.splitlines()
    start = lines.index(first)
    return script(*lines[:start], *lines[start + len(others) + 1 :])


def is_command(line: str) -> bool:
    """Return whether a line of a fix is a command."""
    return line.lstrip()[:1].islower()


def is_script(fix: str) -> bool:
    """Return whether a fix has commands; otherwise it is prose."""
    return any(map(is_command, fix.splitlines()))
