"""Six honest hand-ins and six that each stop or starve the run another way, in one class: nobody honest pays.

THREATS.md, lines 42 and 43. The six honest ones are graded alone first; then everybody is. What the hostile ones take is
capped at hundreds of MB.
"""

# ruff: noqa: E501 - attacks are programs in strings

import threading
import time
from dataclasses import replace

import psutil
import pytest
from attack_class import ORIENTATION, SHORT, Attack, Class, check_nothing_outside_changed, check_verdict, unit_of
from test_machine import BAD, HOG, OFFSETS, TIGHT, takes

from autograder.sandbox.sandbox import ROOM
from autograder.sandbox.zygote import shared

POINTS = unit_of(ORIENTATION).points
EASY = ("fix_the_stub", "program_offsets", "count_bytes", "roofline", "fusion_bytes")
LIMITS = replace(SHORT, cell=2, exercise=3, submission=12)
SLOW = "def fix_the_stub(x):\n    import time\n    until = time.process_time() + 0.1\n    while time.process_time() < until: pass\n    return 2 * x\n"
NATIVE = "import re, signal\nfor n in range(1, 32):\n    try: signal.signal(n, signal.SIG_IGN)\n    except OSError: pass\nre.match(r'(a+)+$', 'a' * 60 + 'b')"


def honest(number):
    """Right in all that is asked; every second one is slow."""
    write = {"fix_the_stub": SLOW} if number % 2 else {}
    solved = EASY[1:] if number % 2 else EASY
    scores = {name: POINTS[name] for name in EASY}
    return Attack(f"{'bdfhkm'[number]}_honest", 0, "honest", write=write, solved=solved, scores=scores, limits=LIMITS)


def hostile(name, why, *cells):
    return Attack(name, 43, why, write=BAD, before=cells, solved=("program_offsets",), scores=OFFSETS, limits=LIMITS)


def large(attack):
    return replace(attack, limits=replace(LIMITS, memory=TIGHT.memory))


HONEST = [honest(number) for number in range(6)]
HOSTILE = [
    hostile("a_busy", "endless loops in forty sessions", HOG + "while True: pass", HOG + "# again\nwhile True: pass"),
    hostile("c_locks", "a locked disk, again and again", *(f"import os\nos.chmod('/tmp', {n})\nos._exit(0)" for n in range(3))),
    large(takes("e_burst", "memory in a burst", "go = time.time() + 0.7\nfor _ in range(20):\n    if not os.fork():\n"
                "        time.sleep(max(0, go - time.time()))\n        held = b'x' * (40 << 20)\n        time.sleep(60)\ntime.sleep(2)\ngot = True")),
    large(takes("g_sockets", "sockets", "for _ in range(6):\n    if not os.fork():\n        held = [socket.socketpair() for _ in range(60)]\n"
                "        time.sleep(60)\ntime.sleep(1.5)\ngot = True")),
    hostile("i_sleeps", "sleeps until it is ended", *(f"import time\ntime.sleep({60 + n})" for n in range(3))),
    hostile("l_native", "endless native loops, deaf to signals", *(f"# {n}\n{NATIVE}" for n in range(3))),
]  # fmt: skip


class Memory(threading.Thread):
    """How far the machine's free memory falls, in bytes, while it runs."""

    def __init__(self):
        super().__init__(daemon=True)
        self.before = self.least = psutil.virtual_memory().available
        self.done = threading.Event()

    def run(self):
        while not self.done.wait(0.02):
            self.least = min(self.least, psutil.virtual_memory().available)

    def fell(self):
        self.done.set()
        self.join()
        return self.before - self.least


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    shared()
    return Class(tmp_path_factory.mktemp("six"), ORIENTATION, HONEST).run()


@pytest.fixture(scope="module")
def together(tmp_path_factory, alone):
    group = Class(tmp_path_factory.mktemp("twelve"), ORIENTATION, [*HONEST, *HOSTILE])
    for attack in group.attacks.values():
        group.hand_in(attack)
    group.before = group.files()
    memory = Memory()
    memory.start()
    time.sleep(0.1)
    group.again()
    group.fell = memory.fell()
    return group


@pytest.mark.parametrize("attack", [*HONEST, *HOSTILE], ids=lambda a: a.name)
def test_everybody_has_what_their_code_deserves(together, attack):
    check_verdict(attack, together.verdicts[attack.name])


def test_the_honest_score_as_alone(alone, together):
    for attack in HONEST:
        assert together.verdicts[attack.name].score == alone.verdicts[attack.name].score


@pytest.mark.slow  # by the clock
def test_the_run_takes_what_the_honest_take_and_the_limits_of_the_others(alone, together):
    allowed = 2 * alone.seconds + len(HOSTILE) * LIMITS.submission
    print(f"six alone {alone.seconds:.1f} s, all twelve {together.seconds:.1f} s, allowed {allowed:.1f} s")
    assert together.seconds < allowed


@pytest.mark.slow  # other tests take memory, too
def test_free_memory_falls_by_no_more_than_two_hand_ins_may_have(together):
    most = max(each.limits.memory + 2 * each.limits.tmp for each in together.attacks.values()) + ROOM
    print(f"free memory fell by {together.fell >> 20} MiB, allowed {2 * most >> 20} MiB and what else runs here")
    assert together.fell < 2 * most + (1 << 30)


def test_nothing_is_left(together):
    check_nothing_outside_changed(together, together.before)
