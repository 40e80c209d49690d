"""A GPU against the processor: `make gpu-check`, for whoever has one (docs/running.md).

comparison.py    what the device computes, against the processor, and against itself
sharing.py       memory, and trials an hour, by the share of the GPU that a trial has
page.py          the result: a table, JSON and Markdown
__main__.py      the command
"""
