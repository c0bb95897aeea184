#!/usr/bin/env bash
# Judge the last commit against the one before, and say whether main's rules let it be merged by itself.
set -eo pipefail
WORK=${WORK:-$RUNNER_TEMP} SUMMARY=${SUMMARY:-$GITHUB_STEP_SUMMARY} OUTPUT=${OUTPUT:-$GITHUB_OUTPUT}
report=$WORK/retrain
model gate --base HEAD^ --report "$report/gate.md" --json "$report/gate.json" || true # the verdict is shown
auto=$(git show HEAD^:rules.yaml | python -c 'import sys, yaml
rules = yaml.safe_load(sys.stdin)
gate, retrain = (rules.get(name) or {} for name in ("gate", "retrain"))
print(retrain.get("auto_merge") is True and gate.get("repeat_training") is not False)')
better=$(jq '.better and .exit_status == 0' "$report/gate.json")
# A year may err by 1 - confidence: each of twelve attempts by a twelfth of it, whatever becomes of it.
attempts=$({ git log --first-parent --since='13 months ago' --format=%B HEAD | grep '^Retrain-attempt: ' || true; } |
  sort -u | awk -v from="$(date -ud '1 year ago' +%FT%TZ)" '$2 >= from' | wc -l)
sure=$(jq --argjson attempts "$attempts" '$attempts <= 12 and (1 - .rules.confidence) / 12 >
  ([.findings[] | select(.kind == "metric" and .against == "base") | .p_better // 1] | min // 1)' "$report/gate.json")
if [[ $auto == True && $better == true && $sure == true ]]; then
  echo "merge=true" >> "$OUTPUT"
  echo 'rules.yaml says auto_merge: true, so it is merged once its checks pass.' > "$report/merge.txt"
elif [[ $auto == True && $better == true ]]; then
  echo "It is not merged by itself: attempt $attempts of this year, and each of twelve has to be surer than the gate." \
    > "$report/merge.txt"
fi
cat "$report/gate.md" >> "$SUMMARY"
