# SPDX-License-Identifier: Apache-2.0
"""The module that a web server loads."""

import json
import os
import subprocess
import sys
from pathlib import Path

_PROGRAM = """
import json
import webob
from nova_gpu_passthrough.placement.wsgi import application
response = webob.Request.blank("/").get_response(application)
print(json.dumps([
    response.status_int,
    response.json["versions"][0]["id"],
    application._max_candidates,
    application._rng is not None,
]))
"""


def test_it_reads_placements_configuration_and_answers(tmp_path):
    path = tmp_path / "placement.conf"
    path.write_text(
        f"[placement_database]\nconnection = sqlite:///{tmp_path}/db\n[placement]\n"
        "max_allocation_candidates = 1234\nrandomize_allocation_candidates = true\n"
    )
    manage = Path(sys.executable).with_name("placement-manage")
    subprocess.run([manage, "--config-file", path, "db", "sync"], check=True, capture_output=True)
    ran = subprocess.run(
        [sys.executable, "-c", _PROGRAM],
        env={**os.environ, "OS_PLACEMENT_CONFIG_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(ran.stdout.splitlines()[-1]) == [200, "v1.0", 1234, True]
