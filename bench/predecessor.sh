#!/usr/bin/env bash
# Runs one query as the scripts that qrun replaces did: clickhouse-client runs the file, awk turns the rows into JSON,
# and they are appended under flock. usage: predecessor.sh FILE LOG PORT
set -euo pipefail
file=$1 log=$2 port=$3
name=$(basename "$file" .sql)
started=$(date +%s)
output=$(clickhouse-client --host 127.0.0.1 --port "$port" <"$file" 2>&1) || {
  message=$(printf '%s' "$output" | tr '"\n' "' " | head -c 500)
  flock "$log.lock" bash -c 'printf "%s\n" "$1" >>"$2"' - "{\"query\":\"${name}__error\",\"error_message\":\"$message\"}" "$log"
  exit 1
}
ended=$(date +%s)
lines=$(mktemp)
printf '%s\n' "$output" | tail -n +2 | awk -F'\t' -v query="$name" -v ms=$(((ended - started) * 1000)) \
  '{ printf "{\"query\":\"%s\",\"number\":%s,\"query_duration_ms\":%d}\n", query, $1, ms }' >"$lines"
flock "$log.lock" bash -c 'cat "$1" >>"$2"' - "$lines" "$log"
rm -f "$lines"
