# sweep.py as a RayJob's entrypoint. Exit code 10 means that the sweep is done and some trials failed, which is in the
# report: starting a new cluster would not help. All else that is not 0 is tried again and continues the sweep.
python /app/sweep.py "$@" || test $? -eq 10
