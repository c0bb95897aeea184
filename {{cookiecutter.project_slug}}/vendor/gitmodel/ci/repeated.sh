#!/usr/bin/env bash
# Say `yes` if the rules of a commit let CI train the model, `no` if it fetches what somebody trained elsewhere.
set -eo pipefail
{ git show "$1:./rules.yaml" 2> /dev/null || true; } | python -c 'import sys, yaml
gate = (yaml.safe_load(sys.stdin) or {}).get("gate") or {}
print("no" if gate.get("repeat_training") is False else "yes")' # a commit may have no rules yet
