#!/usr/bin/env bash
# Put the bundle that serves as STAGE into $WORK/bundle; without one, the bundle of this commit. It says the version.
set -eo pipefail
WORK=${WORK:-$RUNNER_TEMP} SUMMARY=${SUMMARY:-$GITHUB_STEP_SUMMARY} OUTPUT=${OUTPUT:-$GITHUB_OUTPUT}
export SUMMARY
if [[ -n $REMOTE_CONFIG ]]; then printf '%s\n' "$REMOTE_CONFIG" > .dvc/config.local; fi
version=$(model status --json | jq --raw-output --arg stage "$STAGE" '.stages[$stage].version // empty')
if [[ -n $version ]]; then
  model checkout "$STAGE" --any-code --output "$WORK/bundle" |
    awk 'BEGIN { s = ENVIRON["SUMMARY"]; print "" >> s } { print; print "    " $0 >> s }'
else
  echo "Nothing serves as $STAGE yet: the model of this commit is watched." | tee -a "$SUMMARY"
  if ! dvc pull --quiet models/bundle 2> /dev/null; then
    git ls-files '*.dvc' | xargs --no-run-if-empty --delimiter='\n' dvc pull --quiet --
    model repro --no-margins
  fi
  cp --recursive models/bundle "$WORK/bundle"
fi
echo "version=$version" >> "$OUTPUT"
