# SPDX-License-Identifier: Apache-2.0
from nova_gpu_passthrough.cloud.fit.capacity_model import Cause, FlavorCapacity, Refused
from nova_gpu_passthrough.nova_rules.why_not import Stage


def capacity(by_host, causes, having=()):
    limits = {host: Refused(cause, "", Stage.PLACEMENT) for host, cause in causes.items()}
    return FlavorCapacity(
        "f", 1, "M", sum(by_host.values()), by_host, limits, having=frozenset(having)
    )


def test_hosts_that_take_none_do_not_count():
    assert capacity({"a": 2, "b": 0, "c": 1}, {}).hosts == 2


def test_the_most_frequent_cause_limits():
    causes = {"a": Cause.RAM, "b": Cause.VCPUS, "c": Cause.RAM}
    assert capacity({}, causes).limited_by is Cause.RAM


def test_hosts_without_such_gpus_do_not_decide():
    causes = {"a": Cause.RAM, "b": Cause.GPUS, "c": Cause.GPUS}
    assert capacity({}, causes, having="a").limited_by is Cause.RAM


def test_without_hosts_nothing_limits():
    assert capacity({}, {}).limited_by is None
