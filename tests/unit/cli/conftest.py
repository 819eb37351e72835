# SPDX-License-Identifier: Apache-2.0
import logging

import pytest

from nova_gpu_passthrough.cli.main import main
from tests.unit.audited import folder as folder
from tests.unit.audited import tree as tree


@pytest.fixture(autouse=True)
def restored_logging():
    """Restore the logging configuration of the process, which the program changes."""
    handlers, level = logging.root.handlers[:], logging.root.level
    yield
    logging.root.handlers[:] = handlers
    logging.root.setLevel(level)


@pytest.fixture
def nova_gpu(capsys):
    """Run ``nova-gpu``; return exit status, standard output, standard error."""

    def run(*arguments):
        handlers = logging.root.handlers[:]
        try:
            status = main([*map(str, arguments)])
        except SystemExit as error:
            # argparse exits the program.
            status = error.code
        finally:
            # Remove the program's handler, which writes to the standard error of this run.
            logging.root.handlers[:] = handlers
        return status, *capsys.readouterr()

    return run
