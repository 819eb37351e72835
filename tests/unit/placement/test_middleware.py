# SPDX-License-Identifier: Apache-2.0
"""Queries for several devices, compared with Placement's own answers."""

import random

import pytest

from nova_gpu_passthrough.placement.middleware import DeviceCandidates
from tests.unit.placement.service import FAST, GPU, HEADERS, NIC, Service, fill

HOST = "resources=VCPU:2,MEMORY_MB:512,DISK_GB:1&group_policy=none"


@pytest.fixture(scope="module")
def started():
    with Service() as service:
        yield service


@pytest.fixture
def service(started):
    yield started
    started.clear()


def groups(count, rc=GPU, extra="", prefix="_a"):
    """Return the query of equal groups."""
    return "".join(
        f"&resources{prefix}-{n}={rc}:1{extra.format(f'{prefix}-{n}')}" for n in range(count)
    )


def ask(service, query, **options):
    """Return the wrapped application's answer."""
    wrapped = DeviceCandidates(service.application, **options)
    return service.call("GET", f"/allocation_candidates?{query}", application=wrapped)


def own(service, query):
    """Return Placement's own answer."""
    return service.call("GET", f"/allocation_candidates?{query}")


def root_of(answer, candidate):
    """Return the host of a candidate."""
    summaries = answer["provider_summaries"]
    return {
        summaries[provider]["root_provider_uuid"]
        for suffix, (provider, *_) in candidate["mappings"].items()
        if suffix
    }.pop()


def named_devices(answer):
    """Return the devices that candidates name, by host and kind."""
    named = {}
    for candidate in answer["allocation_requests"]:
        for suffix, (provider, *_) in candidate["mappings"].items():
            if suffix:
                key = root_of(answer, candidate), suffix.rpartition("-")[0]
                named.setdefault(key, set()).add(provider)
    return named


def canonical(candidate):
    allocations, mappings = candidate["allocations"].items(), candidate["mappings"].items()
    return repr(
        (
            sorted((provider, sorted(a["resources"].items())) for provider, a in allocations),
            sorted((suffix, sorted(providers)) for suffix, providers in mappings),
        )
    )


QUERIES = {
    "two GPUs": HOST + groups(2),
    "three GPUs": HOST + groups(3),
    "four GPUs": HOST + groups(4),
    "GPUs with a trait": HOST + groups(2, extra="&required{}=" + FAST),
    "GPUs without a trait": HOST + groups(2, extra="&required{}=!" + FAST),
    "GPUs and NICs": HOST + groups(2) + groups(2, NIC, prefix="_n"),
    "a GPU and a NIC": HOST + groups(1) + groups(1, NIC, prefix="_n"),
    "only GPUs": "group_policy=none" + groups(2),
    "fast GPUs and any GPUs": HOST
    + groups(1, extra="&required{}=" + FAST)
    + groups(1, prefix="_b"),
}


@pytest.mark.parametrize("seed", range(4))
def test_hosts_and_devices_are_those_of_placement(service, seed):
    fill(service, random.Random(seed), 4)
    for query in QUERIES.values():
        expected, answer = own(service, query).json, ask(service, query).json
        legal = {canonical(candidate) for candidate in expected["allocation_requests"]}
        assert {canonical(candidate) for candidate in answer["allocation_requests"]} <= legal
        assert named_devices(answer) == named_devices(expected)
        assert answer["provider_summaries"] == expected["provider_summaries"]


@pytest.mark.parametrize("seed", range(2))
def test_every_candidate_can_be_claimed(service, seed):
    fill(service, random.Random(seed), 4)
    claimed = 0
    for name in ("GPUs and NICs", "two GPUs"):
        while candidates := ask(service, QUERIES[name]).json["allocation_requests"]:
            candidate = candidates[-1]
            response = service.claim(candidate["allocations"], candidate["mappings"])
            assert response.status_int == 204
            claimed += 1
        assert not own(service, QUERIES[name]).json["allocation_requests"]
    assert claimed


def add_hosts(service, hosts, gpus):
    """Add hosts that are alike."""
    for _ in range(hosts):
        host = service.add_provider({"VCPU": 16, "MEMORY_MB": 4096, "DISK_GB": 100})
        for _ in range(gpus):
            service.add_provider({GPU: 1}, host)


def test_a_host_has_as_few_candidates_as_name_all_its_devices(service):
    add_hosts(service, 2, 8)
    numbers = {
        count: len(ask(service, HOST + groups(count)).json["allocation_requests"])
        for count in (2, 3, 4, 5, 8)
    }
    assert numbers == {2: 2 * 4, 3: 2 * 3, 4: 2 * 2, 5: 2 * 2, 8: 2}


def test_a_limit_hides_no_host_before_it_hides_candidates(service):
    add_hosts(service, 3, 4)
    answer = ask(service, f"{HOST}{groups(2)}&limit=3").json
    assert len({root_of(answer, candidate) for candidate in answer["allocation_requests"]}) == 3


def test_the_summaries_are_of_hosts_with_candidates(service):
    add_hosts(service, 1, 1)
    add_hosts(service, 1, 2)
    answer = ask(service, HOST + groups(2)).json
    assert len(answer["provider_summaries"]) == 3


def test_hosts_come_in_random_order_if_placement_is_configured_so(service):
    add_hosts(service, 5, 2)
    query = f"{HOST}{groups(2)}&limit=1"
    answers = [ask(service, query, randomize=True).json for _ in range(30)]
    assert len({root_of(one, one["allocation_requests"][0]) for one in answers}) > 1
    answers = [ask(service, query).json for _ in range(5)]
    assert len({root_of(one, one["allocation_requests"][0]) for one in answers}) == 1


@pytest.mark.parametrize(
    "query",
    [
        "resources=VCPU:1",
        HOST + groups(1),
        HOST.replace("none", "isolate") + groups(2),
        HOST + groups(2) + "&same_subtree=_a-0,_a-1",
        HOST + groups(2) + "&unknown=1",
        HOST + groups(2) + "&limit=0",
        HOST + groups(2, "CUSTOM_UNKNOWN"),
        HOST + groups(2, extra="&required{}=CUSTOM_UNKNOWN"),
        HOST + groups(2, extra="&member_of{}=in:x"),
        HOST.replace("&group_policy=none", "") + groups(2),
    ],
)
def test_other_queries_are_placements(service, query):
    add_hosts(service, 1, 2)
    expected, response = own(service, query), ask(service, query)
    assert response.status_int == expected.status_int
    assert ids_removed(response) == ids_removed(expected)


def ids_removed(response):
    """Return the body without the id of the request."""
    document = response.json
    for error in document.get("errors", ()):
        error.pop("request_id")
    if "allocation_requests" in document:
        document["allocation_requests"] = sorted(map(canonical, document["allocation_requests"]))
    return document


def test_devices_that_serve_several_groups_are_left_to_placement(service):
    host = service.add_provider({"VCPU": 16, "MEMORY_MB": 4096, "DISK_GB": 100})
    service.add_provider({GPU: 3}, host)
    service.add_provider({GPU: 1}, host)
    query = HOST + groups(3)
    assert ids_removed(ask(service, query)) == ids_removed(own(service, query))
    assert ask(service, query).json["allocation_requests"]


def test_devices_on_the_compute_host_itself_are_left_to_placement(service):
    service.add_provider({"VCPU": 16, "MEMORY_MB": 4096, "DISK_GB": 100, GPU: 1})
    query = HOST + groups(2)
    assert ids_removed(ask(service, query)) == ids_removed(own(service, query))


def test_a_truncated_list_of_devices_is_left_to_placement(service, caplog):
    add_hosts(service, 2, 4)
    wrapped = DeviceCandidates(service.application, max_candidates=6)
    path = f"/allocation_candidates?{HOST}{groups(2)}"
    service.config.config(group="placement", max_allocation_candidates=6)
    try:
        answers = [service.call("GET", path, application=wrapped).json for _ in range(2)]
    finally:
        service.config.config(group="placement", max_allocation_candidates=-1)
    assert [len(answer["allocation_requests"]) for answer in answers] == [6, 6]
    assert caplog.text.count("set [placement] max_allocation_candidates") == 1


def test_an_old_client_gets_placements_answer(service):
    add_hosts(service, 1, 2)
    headers = {**HEADERS, "OpenStack-API-Version": "placement 1.32"}
    wrapped = DeviceCandidates(service.application)
    path = f"/allocation_candidates?{HOST}{groups(2).replace('_a-', '')}"
    response = service.call("GET", path, application=wrapped, headers=headers)
    assert response.status_int == service.call("GET", path, headers=headers).status_int


def test_a_client_without_a_token_is_refused(service):
    wrapped = DeviceCandidates(service.application)
    path = f"/allocation_candidates?{HOST}{groups(2)}"
    headers = {name: value for name, value in HEADERS.items() if name != "X-Auth-Token"}
    assert service.call("GET", path, application=wrapped, headers=headers).status_int == 401


def test_headers_are_placements(service):
    add_hosts(service, 1, 2)
    expected, response = own(service, HOST + groups(2)), ask(service, HOST + groups(2))
    changing = {"content-length", "x-openstack-request-id", "last-modified"}
    for name in {name.lower() for name in expected.headers} - changing:
        assert response.headers[name] == expected.headers[name]
    assert int(response.headers["content-length"]) == len(response.body)
