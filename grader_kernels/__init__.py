"""GPU kernels without a GPU: the language (`interpreter`), launches replayed (`replaying`), compiled, judged."""

import os

# Read by triton when it is imported and at every @triton.jit: with it set, kernels can't be compiled or recorded.
os.environ.pop("TRITON_INTERPRET", None)

NO_TRITON = "Triton has no build for this system, so the kernel was not run: use Linux, WSL on Windows, or Colab."
