# SPDX-License-Identifier: Apache-2.0
"""What filter and weigher tell each other."""

import pytest

from nova_gpu_passthrough.scheduler import mailbox, requests
from nova_gpu_passthrough.scheduler.assessment import assess
from nova_gpu_passthrough.scheduler.mailbox import Seen, Teller
from tests.unit.builders import T4, host_state, pci_request, pool, request_spec


@pytest.fixture(autouse=True)
def nothing_left_over(monkeypatch):
    """Nothing from other tests, and nothing for them."""
    monkeypatch.setattr(mailbox, "_preference", None)
    list(mailbox.requests())
    list(mailbox.hosts())
    yield
    list(mailbox.requests())
    list(mailbox.hosts())


def seen_on(*states, spec):
    request = requests.read(spec, (), ())
    seen = Seen()
    for state in states:
        seen.judged(assess(state, request))
    return seen


def gpus(name, count, ids=None):
    return host_state(name, [pool(n, **({"ids": ids} if ids else {})) for n in range(count)])


def test_a_request_is_passed_on_once():
    spec = request_spec(pci_request(2), vcpus=8)
    Teller().tell(spec, seen_on(gpus("a", 1), gpus("b", 4), spec=spec))
    (wanted,) = mailbox.requests()
    assert (wanted.gpus, wanted.model, wanted.vcpus) == (2, "H100-SXM", 8)
    assert list(mailbox.requests()) == []


def test_the_model_is_remembered_while_no_gpu_is_free():
    spec, teller = request_spec(pci_request(2)), Teller()
    for states in ((gpus("a", 1),), (gpus("a", 0),), ()):
        teller.tell(spec, seen_on(*states, spec=spec))
    assert [wanted.model for wanted in mailbox.requests()] == ["H100-SXM", "H100-SXM"]


def test_an_alias_that_several_models_serve_asks_for_any():
    spec = request_spec(pci_request(spec={"vendor_id": "10de"}))
    Teller().tell(spec, seen_on(gpus("a", 1), gpus("b", 1, T4), spec=spec))
    assert [wanted.model for wanted in mailbox.requests()] == [None]


def test_few_hosts_that_passed_are_passed_on_with_what_was_known_of_them():
    seen, states = Seen(), [gpus(f"host{n}", 1) for n in range(mailbox.FOLLOWED)]
    for state in states:
        seen.passed(state)
    Teller().tell(request_spec(), seen)
    told = list(mailbox.hosts())
    assert [state for state, _ in told] == states
    assert all(stamp == mailbox.stamp(state) for state, stamp in told)
    states[0].num_instances += 1
    assert told[0][1] != mailbox.stamp(states[0])


def test_many_hosts_are_the_weighers():
    seen = Seen()
    for number in range(mailbox.FOLLOWED + 5):
        seen.passed(gpus(f"host{number}", 1))
    Teller().tell(request_spec(), seen)
    assert list(mailbox.hosts()) == []


def two_nodes():
    spec = request_spec(pci_request(), extra_specs={"gpu:numa": "required"})
    state = host_state("host", [pool(n, node=n // 2) for n in range(4)])
    return spec, state, assess(state, requests.read(spec, (), ()))


def test_equally_good_choices_are_sorted_by_preference():
    spec, state, result = two_nodes()
    mailbox.prefer_by(lambda spec, state, request, choices: list(reversed(choices)))
    assert list(mailbox.preferred(spec, state, result)) == list(reversed(result.choices))


def test_a_choice_that_fits_less_well_stays_behind():
    spec, state, result = two_nodes()
    worse = result.choices[0]._replace(distance=1)
    result = result._replace(choices=[*result.choices, worse])
    mailbox.prefer_by(lambda spec, state, request, choices: list(reversed(choices)))
    assert mailbox.preferred(spec, state, result)[-1] == worse


def test_without_a_preference_the_order_stays():
    spec, state, result = two_nodes()
    assert mailbox.preferred(spec, state, result) is result.choices
