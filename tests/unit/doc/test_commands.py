# SPDX-License-Identifier: Apache-2.0
"""The commands of the README and of the getting-started page work.

tests/cloud/test_documented_commands.py runs those that need a cloud.
"""

import os
import sysconfig

import nova.conf
import pytest
from oslo_config import cfg, iniparser
from placement import conf as placement_conf

from tests import checkout, documented
from tests.checkout import ROOT
from tests.trees import __main__ as trees

README = ROOT / "README.rst"
GETTING_STARTED = ROOT / "doc" / "source" / "getting-started.rst"
#: Sections whose commands need a cloud.
CLOUD = ("A cloud",)
#: Runs nova-gpu, which audits a synthetic server in place of the machine that runs the tests.
_ON_A_GPU_HOST = """\
#!/bin/bash
if [ "$1 $2" = "host audit" ]; then set -- "$@" --root "{tree}" --host gpu01; fi
exec "{bin}/nova-gpu" "$@"
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A checkout."""
    if not checkout.files():
        pytest.skip("not a checkout of git")
    copy = tmp_path_factory.mktemp("checkout")
    checkout.copy(copy)
    return copy


@pytest.fixture(scope="module")
def environment():
    """A user's environment, in which pip uses installed packages instead of a registry."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("NOVA_GPU_")}
    return {
        **kept,
        "PATH": f"{sysconfig.get_path('scripts')}:{os.environ.get('PATH', os.defpath)}",
        "PYTHONPATH": sysconfig.get_path("purelib"),
        "PIP_NO_DEPS": "1",
        "PIP_NO_INDEX": "1",
        "PIP_NO_BUILD_ISOLATION": "0",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    }


@pytest.fixture(scope="module")
def gpu_host(folder, environment, tmp_path_factory):
    """The environment on a GPU host, with pip in a virtual environment."""
    tree, programs = (tmp_path_factory.mktemp(name) for name in ("tree", "programs"))
    assert trees.main(["hgx-h100", str(tree)]) == 0
    create = documented.Block(0, "", "", "python3 -m venv venv\n")
    assert not documented.unexpected(documented.run([create], folder, environment), {})
    scripts = folder / "venv" / "bin"
    program = programs / "nova-gpu"
    program.write_text(_ON_A_GPU_HOST.format(tree=tree, bin=scripts))
    program.chmod(0o755)
    return {**environment, "PATH": f"{programs}:{scripts}:{environment['PATH']}"}


def _blocks(path, *titles):
    blocks = documented.to_run(path, titles)
    assert blocks
    return blocks


def _output(outcomes, command):
    (output,) = {outcome.output for outcome in outcomes if outcome.command == command}
    return output


def test_the_targets_of_make_exist(folder, environment):
    outcomes = documented.run(
        [
            documented.Block(block.line, "", "", block.text.replace("make", "make --dry-run"))
            for block in _blocks(README, "Try it")
        ],
        folder,
        environment,
    )
    assert not documented.unexpected(outcomes, {})
    assert "tests.demo" in _output(outcomes, "make --dry-run demo")


def test_the_readme_from_the_audit_to_the_flavors(folder, gpu_host):
    blocks = _blocks(README, "Audit and configure a GPU host", "From a fleet file to GPU flavors")
    blocks = [block for block in blocks if "--os-cloud" not in block.text]
    outcomes = documented.run(blocks, folder, gpu_host)
    assert not documented.unexpected(outcomes, {})
    assert "H100-SXM" in _output(outcomes, "nova-gpu host audit")
    assert (folder / "gpu01.yaml").is_file()
    assert (folder / "out" / "control").is_dir()
    assert "gpu.h100-sxm.8" in outcomes[-1].output


def test_the_readme_installs_into_the_environment_of_the_scheduler(folder, gpu_host):
    blocks = _blocks(README, "Put it into your nova-scheduler")
    outcomes = documented.run(blocks, folder, gpu_host)
    assert not documented.unexpected(outcomes, {})


def test_options_in_the_readme_exist():
    placement = cfg.ConfigOpts()
    placement_conf.register_opts(placement)
    blocks = [block for block in documented.blocks(README) if block.language == "ini"]
    assert len(blocks) == 2
    for block, conf in zip(blocks, (nova.conf.CONF, placement), strict=True):
        for group, options in _parsed(block.text).items():
            assert options
            for name in options:
                assert name in conf[group], f"[{group}] {name}"


def _parsed(text):
    options = {}

    class Parser(iniparser.BaseParser):
        def new_section(self, section):
            self.section = section

        def assignment(self, key, value):
            options.setdefault(self.section, {})[key] = value

    Parser().parse(text.splitlines())
    return options


def test_getting_started_without_a_cloud(folder, environment):
    with_cloud = _blocks(GETTING_STARTED, *CLOUD)
    blocks = [block for block in documented.to_run(GETTING_STARTED) if block not in with_cloud]
    outcomes = documented.run(blocks, folder, environment)
    assert not documented.unexpected(outcomes, {})
    last = outcomes[-1]
    assert "nova-gpu lint --offline" in last.command
    assert "failure" not in last.output


def test_only_one_block_is_not_run():
    blocks = [*documented.blocks(README), *documented.blocks(GETTING_STARTED)]
    not_run = [block for block in blocks if block.is_commands and block.reason]
    assert [block.commands() for block in not_run] == [["git clone URL nova-gpu-passthrough"]]
