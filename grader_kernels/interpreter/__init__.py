"""Triton's language on the CPU: `context` is the way in, `builder` where every operation of a kernel ends."""

from grader_kernels.interpreter import driver, interpreted

interpreted.ignore()
driver.stand_in()
