# refused: ran longer than
"""SIGSTOP: neither dead nor answering."""

import os
import signal

import torch


def row_softmax(x, block=128):
    os.kill(os.getpid(), signal.SIGSTOP)
    return torch.softmax(x, 1)
