# SPDX-License-Identifier: Apache-2.0
"""vCPUs in parts."""

from nova_gpu_passthrough.packing.count_servers import servers
from nova_gpu_passthrough.simulator import parts
from nova_gpu_passthrough.simulator.trace import Task, Trace
from tests.unit.packing.host_states import cell, host, wanted
from tests.unit.simulator.fleets import fleet

HOSTS = fleet(host(cell(4, cpus=8, pinned=5), vcpus=8))


def test_as_much_fits_in_parts_as_in_whole_ones():
    task = Task(wanted(1, cells=1, vcpus=3, pinned_cpus=2))
    trace = Trace([task])
    (found,) = parts.of_hosts(HOSTS, 1000)
    assert (found.vcpus, found.vcpu_parts) == (8000, 1000)
    assert found.state.cells[0][:2] == (8000, 5000)
    made = parts.of_trace(trace, 1000)
    assert made.vcpu_parts == 1000
    assert made.tasks[0].wanted == wanted(1, cells=1, vcpus=3000, pinned_cpus=2000)
    assert servers(found.state, made.tasks[0].wanted) == servers(HOSTS[0].state, task.wanted) == 2


def test_what_is_in_such_parts_stays_as_it_is():
    trace = Trace([Task(wanted(1))])
    assert parts.of_hosts(HOSTS, 1) == HOSTS
    assert parts.of_trace(trace, 1) is trace
