# SPDX-License-Identifier: Apache-2.0
"""The plug-in of python-openstackclient: ``openstack gpu ...``.

osc-lib prescribes the names in this module (doc/source/contributor/plugins.rst of
python-openstackclient). The commands are entry points of ``openstack.gpu.v1``.
"""

import argparse
import os
from typing import Any

API_NAME = "gpu"
API_VERSION_OPTION = "os_gpu_api_version"
API_VERSIONS = ("1",)
DEFAULT_API_VERSION = "1"


def make_client(instance: Any) -> Any:
    """Return the value of ``client_manager.gpu``: openstacksdk's connection."""
    return instance.sdk_connection


def build_option_parser(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """Add the plug-in's global options."""
    parser.add_argument(
        "--os-gpu-api-version",
        metavar="<gpu-api-version>",
        default=os.environ.get("OS_GPU_API_VERSION", ""),
        help=f"version of the GPU commands, default={DEFAULT_API_VERSION} "
        "(Env: OS_GPU_API_VERSION)",
    )
    return parser
