"""What sweep.py does, a file for each part.

errors.py       UserError: one line that names the value, what is allowed and the mend
plan.py         from a space and the command line to the sweep's trials
space_file.py   a space by its registered name, or from a file
show.py         a plan, for a person to read before it runs
cost.py         how long its trials will take
cluster.py      the Ray they run on
shared_storage.py  whether its nodes see the sweep's folder
tracking.py     the MLflow they are mirrored to
lease.py        one driver a sweep
run.py          the trials that are not done yet, through Ray Tune
stop.py         Ctrl-C: once cleanly, twice at once
progress.py     what a person sees meanwhile
log.py          what the sweep did, for programs
metrics.py      what it does, for Prometheus
status.py       a sweep seen from outside
finish.py       table, MLflow, analysis and the answer
"""
