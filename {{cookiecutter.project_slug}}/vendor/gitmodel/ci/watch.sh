#!/usr/bin/env bash
# Compare BATCH, and LABELS or LABEL_FILE, with $WORK/bundle; write the reports into $WORK/monitor, and say the verdict.
set -eo pipefail
WORK=${WORK:-$RUNNER_TEMP} SUMMARY=${SUMMARY:-$GITHUB_STEP_SUMMARY} OUTPUT=${OUTPUT:-$GITHUB_OUTPUT}
report=$WORK/monitor
mkdir "$report"
cannot_judge() {
  why=$(tr '[:cntrl:]' ' ' <<< "$1" | cut -c 1-500)
  printf '**Cannot judge:**\n\n    %s\n' "$why" >> "$SUMMARY"
  echo "error: $why" >&2
  exit 2
}
fetched() { # a path, an address or a query for the database of `source:` -> where it is here
  if [[ $1 == *.sql ]]; then
    place=incoming/$(basename "${1%.sql}").parquet
    make --no-print-directory driver && model fetch --sql "$1" --output "$place"
  elif [[ $1 == *://* ]]; then
    place=incoming/$(basename "${1%%\?*}")
    mkdir -p incoming
    dvc get-url --quiet --force "$1" "$place"
  else
    place=$1
    if [[ ! -e $place && $place != *[*?]* ]]; then dvc pull --quiet -- "$place"; fi
  fi
}
if [[ -z $BATCH ]]; then cannot_judge "no batch is named: give one, or set the variable MONITOR_BATCH"; fi
files=(--json "$report/monitor.json" --html "$report/monitor.html" --report "$report/monitor.md")
options=(--bundle "$WORK/bundle" --history "$report/history.jsonl")
if [[ -n $LABELS ]]; then options+=(--labels "$LABELS"); fi
if [[ -n $LABEL_FILE ]]; then
  fetched "$LABEL_FILE" || cannot_judge "the labels cannot be fetched from $LABEL_FILE"
  options+=(--label-file "$place")
fi
fetched "$BATCH" || cannot_judge "the batch cannot be fetched from $BATCH"
git show origin/monitoring:reports/monitoring/history.jsonl > "$report/history.jsonl" 2> /dev/null ||
  rm "$report/history.jsonl" # the first run
model monitor "$place" "${options[@]}" "${files[@]}" 2> "$WORK/problems" || true # its JSON says more
cat "$WORK/problems" >&2
verdict=$(jq --raw-output .verdict "$report/monitor.json" || true)
if [[ ! $verdict =~ ^(quiet|watch|alert)$ ]]; then cannot_judge "$(tail -n 1 "$WORK/problems")"; fi
cat "$report/monitor.md" >> "$SUMMARY"
echo "verdict=$verdict" >> "$OUTPUT"
