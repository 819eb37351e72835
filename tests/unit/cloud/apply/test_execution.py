# SPDX-License-Identifier: Apache-2.0
"""Make the changes of a plan; signals, refusals and unavailable services."""

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

    def make(progress=lambda *_: None):
        def save(record):
            saved.append(record)
            direct.record = record

        plan = direct.plan(desired())
        return execution.run(DirectApi(direct), plan, Ledger(direct.record, save), progress)

    return make


def _press(nth, signals=(signal.SIGINT,)):
    """Press Ctrl-C during the nth changing request."""

    def press(now, what):
        if now == nth:
            for one in signals:
                os.kill(os.getpid(), one)

    return press


def test_the_record_has_the_desired_state_and_the_created_objects(direct, run, saved):
    assert run() == []
    record = saved[-1]
    assert (record.desired, record.complete) == (desired(), True)
    assert record.applied_at
    assert {entry.name for entry in record.entries if entry.deletable} >= {"gpu.h100.1", "gpu-h100"}


def test_the_record_is_saved_before_and_after_each_creation(direct, run, saved):
    written = []
    direct.before = lambda number, what: written.append((what, len(saved)))
    run()
    counts = [count for _, count in written]
    assert all(counts)
    made = [count for what, count in written if what.split()[1] in ("/flavors", "/os-aggregates")]
    assert len(set(made)) == 2


def test_the_record_is_incomplete_during_a_run(run, saved):
    run()
    assert {record.complete for record in saved[:-1]} == {False}


def test_a_run_without_changes_leaves_the_record_as_it_is(run, saved):
    run()
    before = len(saved)
    run()
    assert len(saved) == before


def test_a_first_run_without_changes_records_adopted_objects(direct, run, saved):
    run()
    direct.record = Record("paris", direct.record.cloud)
    saved.clear()
    run()
    assert saved[-1].applied_at
    assert not any(entry.deletable for entry in saved[-1].entries)


def test_progress_is_reported(run):
    reported = []
    run(lambda done, total: reported.append((done, total)))
    assert reported == [(number, 6) for number in range(7)]


def test_a_refused_change_does_not_stop_the_others(direct, run, saved):
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


@pytest.mark.parametrize("signal_number", [signal.SIGINT, signal.SIGTERM])
def test_after_a_signal_only_the_current_request_completes(direct, run, signal_number):
    direct.before = _press(3, (signal_number,))
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


def test_signal_handlers_are_restored(direct, run):
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    direct.before = _press(3)
    with pytest.raises(UserError):
        run()
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_a_run_works_in_another_thread(direct, run):
    results = []
    thread = threading.Thread(target=lambda: results.append(run()))
    thread.start()
    thread.join()
    assert results == [[]]


def test_an_unavailable_service_ends_the_run_with_the_number_of_changes(direct, run):
    def vanish(number, what):
        if number >= 4:
            raise away()

    direct.before = vanish
    with pytest.raises(UserError, match="; 2 of 6 changes done; run it again to go on$"):
        run()
    direct.before = lambda number, what: None
    assert run() == []
    assert direct.plan(desired()).changes == ()


def test_other_exceptions_pass_unchanged(direct, run):
    direct.before = lambda number, what: (_ for _ in ()).throw(Killed())
    with pytest.raises(Killed):
        run()
