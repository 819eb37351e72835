# SPDX-License-Identifier: Apache-2.0
import logging

import pytest

from nova_gpu_passthrough.cli.main import main
from tests.unit.audited import folder as folder
from tests.unit.audited import tree as tree


@pytest.fixture(autouse=True)
def logging_as_it_was():
    """The program sets up logging for its whole process."""
    handlers, level = logging.root.handlers[:], logging.root.level
    yield
    logging.root.handlers[:] = handlers
    logging.root.setLevel(level)


@pytest.fixture
def nova_gpu(capsys):
    """Run ``nova-gpu``: exit status, standard output, standard error."""

    def run(*arguments):
        handlers = logging.root.handlers[:]
        try:
            status = main([*map(str, arguments)])
        except SystemExit as error:
            # argparse ends the program by itself.
            status = error.code
        finally:
            # The program's own handler writes to what was standard error during this run.
            logging.root.handlers[:] = handlers
        return status, *capsys.readouterr()

    return run
