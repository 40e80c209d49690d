"""What sweep.py does, a file for each part.

errors.py     UserError: one line that names the value, what is allowed and the mend
plan.py       from a space and the command line to the sweep's trials
cost.py       how long they will take
cluster.py    the Ray they run on
run.py        the trials that are not done yet, through Ray Tune
progress.py   what a person sees meanwhile
finish.py     table, MLflow, analysis and the answer
"""
