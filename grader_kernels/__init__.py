"""GPU kernels without a GPU: run context (`run`), launch trace (`trace`), replay (`replay`), gate (`language`)."""
