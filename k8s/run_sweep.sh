# sweep.py as a RayJob's entrypoint. Exit code 10 means that the sweep is done and some trials failed, which is in the
# report. Bad arguments (2) stay bad. Anything else is tried again here, and continues the sweep from its records.
for option in "$@"; do
  if [ "$option" = --fresh ]; then
    echo "--fresh would begin another sweep at each of these tries: give the new sweep a --name" >&2
    exit 2
  fi
done
for wait in 10 60 300 end; do
  python "$(dirname "$0")/../sweep.py" "$@"
  code=$?
  case $code in
    0 | 10) exit 0 ;;
    2) exit 2 ;;
  esac
  [ "$wait" = end ] && exit "$code"
  echo "sweep.py ended with code $code; again in $wait s" >&2
  sleep "$wait"
done
