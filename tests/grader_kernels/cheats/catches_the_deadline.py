# refused: ran longer than
"""Sleeps for ever and ignores every signal that can be ignored."""

import signal
import time

for number in range(1, 30):
    if number not in (signal.SIGKILL, signal.SIGSTOP, signal.SIGCHLD):
        signal.signal(number, signal.SIG_IGN)


def row_softmax(x, block=128):
    while True:
        time.sleep(1)
