# SPDX-License-Identifier: Apache-2.0
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from oslo_config import cfg

from nova_gpu_passthrough.cloud.lint.configuration import command_line, config_files
from nova_gpu_passthrough.cloud.lint.configuration.command_line import ServiceCommand
from nova_gpu_passthrough.cloud.lint.configuration.services import ServiceRole
from nova_gpu_passthrough.errors import UserError

FILE, DIRECTORY = "--config-file", "--config-dir"


@pytest.mark.parametrize(
    "words",
    [
        ["nova-scheduler", FILE, "/etc/nova/nova.conf"],
        ["/usr/bin/nova-scheduler", f"{FILE}=/etc/nova/nova.conf", "--log-file=x"],
        ["/usr/bin/python3", "/usr/bin/nova-scheduler", "--debug", FILE, "/etc/nova/nova.conf"],
        ["python3.12", "-s", "/opt/bin/nova-scheduler", f"{FILE}=/etc/nova/nova.conf"],
    ],
)
def test_a_command_line_has_the_service_and_its_files(words):
    assert command_line.parse(words) == ServiceCommand(
        ServiceRole.SCHEDULER, ((FILE, "/etc/nova/nova.conf"),)
    )


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["python3"],
        ["tail", "-f", "/var/log/nova/nova-scheduler"],
        ["vim", "/usr/bin/nova-scheduler"],
        ["python3", "-m", "http.server"],
        ["nova-manage", FILE, "/etc/nova/nova.conf"],
    ],
)
def test_other_programs_are_ignored(words):
    assert command_line.parse(words) is None


def test_an_option_without_a_path_is_ignored():
    assert command_line.parse(["nova-compute", FILE]) == ServiceCommand(ServiceRole.COMPUTE)
    assert command_line.parse(["nova-compute", f"{FILE}="]) == ServiceCommand(ServiceRole.COMPUTE)


def test_started_commands_are_returned_by_service():
    commands = command_line.parse_all(
        [f"nova-compute {FILE} '/etc/my nova.conf'", "nova-scheduler"]
    )
    assert commands == {
        ServiceRole.COMPUTE: ServiceCommand(ServiceRole.COMPUTE, ((FILE, "/etc/my nova.conf"),)),
        ServiceRole.SCHEDULER: ServiceCommand(ServiceRole.SCHEDULER),
    }


def test_a_process_title_contains_the_command_line():
    title = "nova-scheduler: master process [/usr/bin/nova-scheduler --config-file /etc/nova.conf]"
    command = ServiceCommand(ServiceRole.SCHEDULER, ((FILE, "/etc/nova.conf"),))
    assert command_line.parse(command_line.split(title)) == command
    assert command_line.parse_all([title]) == {ServiceRole.SCHEDULER: command}
    assert (
        command_line.parse(command_line.split("nova-scheduler: ServiceWrapper worker(0)")) is None
    )


@pytest.mark.parametrize("text", ["", "nova.conf", "nova-scheduler 'x"])
def test_another_command_is_refused_with_an_example(text):
    with pytest.raises(UserError, match="such as 'nova-scheduler --config-file /etc/nova"):
        command_line.parse_all([text])


@pytest.fixture(scope="module")
def etc(tmp_path_factory):
    """Files that all set the same options to their own names."""
    root = tmp_path_factory.mktemp("etc")
    for name in ("nova.conf", "other.conf", "nova.conf.d/1.conf", "nova.conf.d/2.conf", "d/3.conf"):
        path = root / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"[DEFAULT]\nname = {name}\nnames = {name}\n")
    return root


NAMED = st.lists(
    st.sampled_from(
        [(FILE, "nova.conf"), (FILE, "other.conf"), (DIRECTORY, "nova.conf.d"), (DIRECTORY, "d")]
    ),
    max_size=4,
)


@given(named=NAMED)
def test_the_order_is_that_of_oslo_config(etc, named):
    conf = cfg.ConfigOpts()
    conf.register_opts([cfg.StrOpt("name"), cfg.MultiStrOpt("names")])
    conf(
        [word for option, name in named for word in (option, str(etc / name))],
        default_config_files=[str(etc / "nova.conf")],
        default_config_dirs=[str(etc / "nova.conf.d")],
    )
    command = ServiceCommand(ServiceRole.SCHEDULER, tuple(named))
    order = command.order([etc / "nova.conf"], [etc / "nova.conf.d"], lambda name: etc / name)
    configuration = config_files.read(order)
    assert configuration.text("DEFAULT", "name") == conf.name
    assert [one.value for one in configuration.all(("DEFAULT", "names"))] == conf.names


def test_a_file_on_the_command_line_is_read_after_the_directory(etc):
    command = ServiceCommand(ServiceRole.SCHEDULER, ((FILE, "/etc/nova/nova.conf"),))
    order = command.order(
        [etc / "nova.conf"], [etc / "nova.conf.d"], lambda path: etc / Path(path).name
    )
    assert [path.name for path in order] == ["1.conf", "2.conf", "nova.conf"]
