#!/usr/bin/env bash
# Run a command in FOLDER, with FOLDER's neighbour `home` and without the variables of the job, which may hold a token.
# Where the job is root's, it runs as nobody, who cannot read what root's processes hold.
set -eo pipefail
folder=$(realpath "$1") home=$(realpath "$1")/../home as=()
shift
mkdir -p "$home"
home=$(realpath "$home")
nobody=(setpriv --reuid=65534 --regid=65534 --clear-groups --)
if [[ $(id -u) == 0 ]] && "${nobody[@]}" test -x "$folder" -a -x "$(command -v python)" 2> /dev/null; then
  chown -R 65534:65534 "$folder" "$home"
  as=("${nobody[@]}")
fi
cd "$folder"
exec "${as[@]}" env --ignore-environment HOME="$home" PATH="$PATH" DVC_SITE_CACHE_DIR="$home/dvc" "$@"
