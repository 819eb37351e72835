# SPDX-License-Identifier: Apache-2.0
"""Making the changes of a plan, and whatever stops it."""

import os
import signal
import threading

import pytest

from nova_gpu_passthrough.cloud.apply import execution
from nova_gpu_passthrough.cloud.apply.record import Ledger, Record
from nova_gpu_passthrough.errors import UserError
from tests.unit.cloud.apply.builders import desired
from tests.unit.cloud.apply.direct import DirectApi, Killed, away


@pytest.fixture
def saved():
    return []


@pytest.fixture
def run(direct, saved):
    """Make the changes of a plan; the refusals."""

    def make(tell=lambda *_: None):
        def save(record):
            saved.append(record)
            direct.record = record

        plan = direct.plan(desired())
        return execution.run(DirectApi(direct), plan, Ledger(direct.record, save), tell)

    return make


def _press(number, signals=(signal.SIGINT,)):
    """Press Ctrl-C during the request of that number."""

    def press(now, what):
        if now == number:
            for one in signals:
                os.kill(os.getpid(), one)

    return press


def test_the_record_tells_what_was_applied(direct, run, saved):
    assert run() == []
    record = saved[-1]
    assert (record.desired, record.complete) == (desired(), True)
    assert record.applied_at
    assert {entry.name for entry in record.entries if entry.ours} >= {"gpu.h100.1", "gpu-h100"}


def test_the_record_is_written_before_and_after_each_thing_is_made(direct, run, saved):
    written = []
    direct.before = lambda number, what: written.append((what, len(saved)))
    run()
    counts = [count for _, count in written]
    assert all(counts)
    made = [count for what, count in written if what.split()[1] in ("/flavors", "/os-aggregates")]
    assert len(set(made)) == 2


def test_while_changes_are_made_the_record_is_not_complete(run, saved):
    run()
    assert {record.complete for record in saved[:-1]} == {False}


def test_a_run_without_changes_leaves_the_record_as_it_is(run, saved):
    run()
    before = len(saved)
    run()
    assert len(saved) == before


def test_a_first_run_without_changes_writes_what_it_found(direct, run, saved):
    run()
    direct.record = Record("paris", direct.record.cloud)
    saved.clear()
    run()
    assert saved[-1].applied_at
    assert not any(entry.ours for entry in saved[-1].entries)


def test_progress_is_told(run):
    told = []
    run(lambda done, total: told.append((done, total)))
    assert told == [(number, 6) for number in range(7)]


def test_refusals_do_not_keep_the_rest_from_being_done(direct, run, saved):
    answer = direct.nova.answer

    def refuse(method, path, request):
        if method == "POST" and path == "/os-aggregates":
            return 400, {"badRequest": {"code": 400, "message": "no such name"}}
        return answer(method, path, request)

    direct.nova.answer = refuse
    (refusal,) = run()
    assert refusal.change.name == "gpu-h100"
    assert refusal.reason.startswith("aggregate gpu-h100: ")
    assert "no such name" in refusal.reason
    assert len(direct.nova.flavors) == 1
    assert not saved[-1].complete
    direct.nova.answer = answer
    assert run() == []
    assert saved[-1].complete


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_after_ctrl_c_the_request_is_finished_and_no_other_begun(direct, run, number):
    direct.before = _press(3, (number,))
    with pytest.raises(UserError, match="^interrupted: 2 of 6 changes done; run it again to go on"):
        run()
    assert direct.changing == 3
    assert "gpu-h100" in {one["name"] for one in direct.nova.aggregates.values()}
    direct.before = lambda number, what: None
    assert run() == []
    assert direct.plan(desired()).changes == ()


def test_a_second_ctrl_c_does_not_wait(direct, run):
    direct.before = _press(3, (signal.SIGINT, signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        run()


def test_signals_are_as_before_afterwards(direct, run):
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    direct.before = _press(3)
    with pytest.raises(UserError):
        run()
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_another_thread_than_the_first_can_do_it(direct, run):
    found = []
    thread = threading.Thread(target=lambda: found.append(run()))
    thread.start()
    thread.join()
    assert found == [[]]


def test_a_service_that_goes_away_is_told_with_what_was_done(direct, run):
    def vanish(number, what):
        if number >= 4:
            raise away()

    direct.before = vanish
    with pytest.raises(UserError, match="; 2 of 6 changes done; run it again to go on$"):
        run()
    direct.before = lambda number, what: None
    assert run() == []
    assert direct.plan(desired()).changes == ()


def test_a_kill_is_no_error_of_the_cloud(direct, run):
    direct.before = lambda number, what: (_ for _ in ()).throw(Killed())
    with pytest.raises(Killed):
        run()
