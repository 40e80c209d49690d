"""Statistics over data seeds: arrays in, dataclasses out; usable without the rest of the analysis."""
