#!/usr/bin/env bash
# Take new labelled data in: from where the table lives, or from DATA; with the rows of the open request OPEN, such as `pull request #7`.
# BOT is the name under which commits are made here: a branch with a commit of somebody else is left alone.
set -eo pipefail
WORK=${WORK:-$RUNNER_TEMP} SUMMARY=${SUMMARY:-$GITHUB_STEP_SUMMARY} OUTPUT=${OUTPUT:-$GITHUB_OUTPUT}
export SUMMARY
mkdir incoming "$WORK/retrain"
echo /incoming/ >> .git/info/exclude
taken() { # indented in the summary: nothing in it is rendered
  "$@" 2>&1 | tee -a "$WORK/retrain/ingest.txt" |
    awk 'BEGIN { s = ENVIRON["SUMMARY"]; print "" >> s } { print; print "    " $0 >> s }'
}
source=$(python -c 'import yaml; print(bool(yaml.safe_load(open("schema.yaml")).get("source")))')
if [[ -n $OPEN ]]; then # what it has taken in stays in
  if [[ $(git log -1 --format=%an origin/retrain) != "$BOT" ]]; then
    echo "error: a person committed to the branch retrain: merge or close $OPEN first" >&2
    exit 1
  fi
  if [[ $source != True ]]; then
    table=$(python -c 'import yaml; print(yaml.safe_load(open("schema.yaml"))["table"])')
    dvc get --quiet . "$table" --rev origin/retrain --out incoming/open
    taken model ingest incoming/open
  fi
fi
if [[ $source == True ]]; then # all rows are where the table lives, those of the open request too
  taken make --no-print-directory fetch
elif [[ $DATA == *://* ]]; then
  place=incoming/$(basename "${DATA%%\?*}")
  dvc get-url --quiet "$DATA" "$place"
  taken model ingest "$place"
elif [[ -n $DATA ]]; then
  if [[ ! -e $DATA ]]; then dvc pull --quiet -- "$DATA"; fi
  taken model ingest "$DATA"
fi
if [[ -z $(git status --porcelain) ]]; then
  echo "There is no new labelled data, so there is nothing to learn: name some as the input data," \
    "or in the variable RETRAIN_DATA." | tee -a "$SUMMARY"
else
  echo "changed=true" >> "$OUTPUT"
fi
