# Refuses to go on while a variable named in the arguments is empty or still has its placeholder.
for name in "$@"; do
  value=$(printenv "$name")
  if [ -z "$value" ] || [ "$value" = change-me ]; then
    echo "$name is ${value:-empty}: give it a value of its own, as k8s/README.md says under Secrets" >&2
    exit 1
  fi
done
