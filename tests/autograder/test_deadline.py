"""Limits of time: who sleeps or computes ends at the limit, who waits for a processor that others have does not."""

import contextlib
import dataclasses
import os
import sys
import time

import pytest

from autograder.sandbox import deadline, processes
from autograder.sandbox.deadline import FAR, Deadline, Meter
from autograder.sandbox.sandbox import Limits, Sandbox, why_not

SMALL = Limits(cell=2, call=2, exercise=4, submission=60, memory=900 << 20, processes=64, tmp=32 << 20)


class Told(Meter):
    """A meter that is told what to say."""

    def __init__(self):
        self.used = self.waited = 0.0

    def fresh(self):
        return self


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still; clock[0] is its time."""
    now = [100.0]
    monkeypatch.setattr(deadline.time, "monotonic", lambda: now[0])
    return now


def test_before_the_limit_the_clock_alone_decides(clock):
    meter = Told()
    until = Deadline(meter, 10)
    meter.used = 50  # of several processors
    clock[0] += 4
    assert until.left() == 6


def test_a_sleeper_ends_at_its_limit(clock):
    until = Deadline(Told(), 10)
    clock[0] += 10
    assert until.left() <= 0 and not until.starved()


@pytest.mark.parametrize("used, waited, left", [(10, 15, 0), (3, 17, 7), (3, 9, -1), (0, 20, 10)])
def test_after_the_limit_what_it_had_decides(clock, used, waited, left):
    meter = Told()
    until = Deadline(meter, 10)
    clock[0] += 20
    meter.used, meter.waited = used, waited
    assert until.left() == left


def test_what_was_before_does_not_count(clock):
    meter = Told()
    meter.used, meter.waited = 1000.0, 1000.0
    until = Deadline(meter, 10)
    clock[0] += 12
    meter.used, meter.waited = 1001.0, 1009.0
    assert until.left() == 7


def test_far_beyond_the_limit_it_ends_and_is_starved(clock):
    meter = Told()
    until = Deadline(meter, 10)
    clock[0] += FAR * 10
    meter.used, meter.waited = 2, FAR * 10 - 2
    assert until.left() <= 0 and until.starved()


def test_a_hand_in_that_starves_itself_had_its_time(clock):
    meter = Told()
    until = Deadline(meter, 10)
    clock[0] += 11
    meter.used, meter.waited = 11, 10.9
    assert until.left() <= 0 and not until.starved()


def test_the_deadline_around_it_counts_too(clock):
    meter = Told()
    outer = Deadline(meter, 15)
    clock[0] += 10
    inner = Deadline(meter, 10, outer)
    assert inner.left() == 5
    clock[0] += 5
    assert inner.left() <= 0


def test_where_nobody_counts_waiting_the_load_says_it(monkeypatch):
    monkeypatch.setattr(processes, "waiting", lambda pids: None)
    monkeypatch.setattr(processes, "crowd", lambda pids: 0.75)
    meter = Meter(lambda: [os.getpid()])
    time.sleep(0.2)
    meter.look()
    assert meter.waited == pytest.approx(0.75 * 0.2, rel=0.5)


linux = pytest.mark.skipif(sys.platform != "linux" or bool(why_not()), reason="no sandbox on this machine")
HOG = """
import os
for _ in range(30):
    if os.fork() == 0:
        os.setsid()
        while True: pass
"""
WORK = "import time\nuntil = time.process_time() + 1.5\nwhile time.process_time() < until: pass\nprint('done')"


@pytest.fixture
def hogs(monkeypatch):
    """Two hand-ins full of endless loops, on the processor of all sandboxes. None of them ends before the test."""
    monkeypatch.setattr(Sandbox, "core", min(os.sched_getaffinity(0)))
    with contextlib.ExitStack() as stack:
        for _ in range(2):
            box = stack.enter_context(Sandbox(limits=dataclasses.replace(SMALL, cell=60, exercise=60)))
            [started] = box.runner().run_cells([("hog", HOG)])
            assert not started.error, started
        yield


def one_cell(source, limits=SMALL):
    with Sandbox(limits=limits) as box:
        [result] = box.runner().run_cells([("a", source)])
        return result, box


@linux
def test_an_answer_that_neighbours_starve_has_its_time(hogs):
    result, box = one_cell(WORK)
    assert result.output == "done\n" and result.seconds > SMALL.cell, result
    assert box.meter.waited > 1 and not box.starved


@linux
def test_a_sleeper_beside_them_ends_at_its_limit(hogs):
    result, box = one_cell("import time\ntime.sleep(30)")
    assert result.error_name == "timed_out" and result.seconds < SMALL.cell + 2


@linux
def test_a_loop_beside_them_ends_when_it_had_its_time(hogs):
    result, box = one_cell("while True: pass")
    assert result.error_name == "timed_out" and SMALL.cell < result.seconds < FAR * SMALL.cell + 2
    assert box.meter.used > 0.6 * SMALL.cell


@linux
def test_who_is_starved_for_good_ends_far_beyond_the_limit_and_it_is_known(hogs, monkeypatch):
    monkeypatch.setattr(deadline, "FAR", 1.2)
    result, box = one_cell("while True: pass")
    assert result.error_name == "timed_out" and box.starved


@linux
def test_several_processes_have_one_allowance():
    source = "import os\nfor _ in range(3): os.fork()\nwhile True: pass"
    result, box = one_cell(source)
    assert result.error_name == "timed_out" and result.seconds < FAR * SMALL.cell + 2
    assert box.starved == (box.meter.used < SMALL.cell)
