"""Triton's language on the CPU: `context` is the way in, `builder` where every operation of a kernel ends."""

from grader_kernels import driver
from grader_kernels.interpreter import interpreted

interpreted.ignore()
driver.stand_in()
