# SPDX-License-Identifier: Apache-2.0
"""The mailbox between filter and weigher."""

import pytest

from nova_gpu_passthrough.scheduler import mailbox, requests
from nova_gpu_passthrough.scheduler.assessment import assess
from nova_gpu_passthrough.scheduler.mailbox import FilterObservations, RequestReporter
from tests.unit.builders import T4, host_state, pci_request, pool, request_spec


@pytest.fixture(autouse=True)
def empty_mailbox(monkeypatch):
    """Empty the mailbox before and after each test."""
    monkeypatch.setattr(mailbox, "_preference", None)
    list(mailbox.take_requests())
    list(mailbox.take_hosts())
    yield
    list(mailbox.take_requests())
    list(mailbox.take_hosts())


def observe(*states, spec):
    request = requests.read(spec, (), ())
    observations = FilterObservations()
    for state in states:
        observations.add_assessment(assess(state, request))
    return observations


def gpus(name, count, ids=None):
    return host_state(name, [pool(n, **({"ids": ids} if ids else {})) for n in range(count)])


def test_a_request_is_reported_once():
    spec = request_spec(pci_request(2), vcpus=8)
    RequestReporter().report(spec, observe(gpus("a", 1), gpus("b", 4), spec=spec))
    (request_class,) = mailbox.take_requests()
    assert (request_class.gpus, request_class.model, request_class.vcpus) == (2, "H100-SXM", 8)
    assert list(mailbox.take_requests()) == []


def test_a_request_that_is_repeated_until_it_fits_counts_once():
    reporter = RequestReporter()
    for passed in (False, False, False, True, True):
        spec = request_spec(pci_request(2))
        observations = observe(gpus("a", 1), spec=spec)
        if passed:
            observations.add_passed(gpus("b", 2))
        reporter.report(spec, observations)
    assert len(list(mailbox.take_requests())) == 3


def test_the_oldest_refused_classes_are_forgotten(monkeypatch):
    monkeypatch.setattr(mailbox, "_MAX_REMEMBERED", 2)
    reporter = RequestReporter()
    for project in ("a", "b", "c", "c", "b", "a"):
        spec = request_spec(pci_request(2))
        spec.project_id = project
        reporter.report(spec, observe(gpus("full", 1), spec=spec))
    assert len(list(mailbox.take_requests())) == 4


def test_the_model_is_remembered_while_no_gpu_is_free():
    spec, reporter = request_spec(pci_request(2)), RequestReporter()
    for number, states in enumerate(((gpus("a", 1),), (gpus("a", 0),), ())):
        spec.project_id = f"project-{number}"
        reporter.report(spec, observe(*states, spec=spec))
    assert [request_class.model for request_class in mailbox.take_requests()] == [
        "H100-SXM",
        "H100-SXM",
    ]


def test_an_alias_that_several_models_match_requests_any_model():
    spec = request_spec(pci_request(spec={"vendor_id": "10de"}))
    RequestReporter().report(spec, observe(gpus("a", 1), gpus("b", 1, T4), spec=spec))
    assert [request_class.model for request_class in mailbox.take_requests()] == [None]


def test_few_hosts_that_passed_are_reported_with_their_versions():
    observations, states = (
        FilterObservations(),
        [gpus(f"host{n}", 1) for n in range(mailbox.MAX_TRACKED_HOSTS)],
    )
    for state in states:
        observations.add_passed(state)
    RequestReporter().report(request_spec(), observations)
    reported = list(mailbox.take_hosts())
    assert [state for state, _ in reported] == states
    assert all(version == mailbox.host_version(state) for state, version in reported)
    states[0].num_instances += 1
    assert reported[0][1] != mailbox.host_version(states[0])


def test_many_hosts_that_passed_are_not_reported():
    observations = FilterObservations()
    for number in range(mailbox.MAX_TRACKED_HOSTS + 5):
        observations.add_passed(gpus(f"host{number}", 1))
    RequestReporter().report(request_spec(), observations)
    assert list(mailbox.take_hosts()) == []


def two_nodes():
    spec = request_spec(pci_request(), extra_specs={"gpu:numa": "required"})
    state = host_state("host", [pool(n, node=n // 2) for n in range(4)])
    return spec, state, assess(state, requests.read(spec, (), ()))


def test_equally_good_choices_are_sorted_by_preference():
    spec, state, assessment = two_nodes()
    mailbox.set_preference(lambda spec, state, request, choices: list(reversed(choices)))
    assert list(mailbox.sort_by_preference(spec, state, assessment)) == list(
        reversed(assessment.choices)
    )


def test_a_choice_with_a_worse_fit_stays_last():
    spec, state, assessment = two_nodes()
    worse = assessment.choices[0]._replace(distance=1)
    assessment = assessment._replace(choices=[*assessment.choices, worse])
    mailbox.set_preference(lambda spec, state, request, choices: list(reversed(choices)))
    assert mailbox.sort_by_preference(spec, state, assessment)[-1] == worse


def test_without_a_preference_the_order_stays():
    spec, state, assessment = two_nodes()
    assert mailbox.sort_by_preference(spec, state, assessment) is assessment.choices
