"""Compare a GPU with the processor: `make gpu-check` (docs/running.md)."""
