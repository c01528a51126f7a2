#!/usr/bin/env bash
# Runs a command that serves app.py, with a Prometheus and an Alertmanager beside it, until Ctrl-C.
# Their ports are not those at which Debian's packages may have started others.
#
# examples/serving/up.sh uvicorn --app-dir examples/serving app:app
set -euo pipefail
here=$(dirname "$0")
for port in 8000 19090 19093; do
  if (: </dev/tcp/127.0.0.1/$port) 2>/dev/null; then
    echo "Port $port is taken. Does this run elsewhere already?" >&2
    exit 1
  fi
done
data=$(mktemp -d)

end() {
  kill $(jobs -p) 2>/dev/null || true
  wait || true
  rm -rf "$data"
}
trap end EXIT
trap 'exit 0' INT TERM

prometheus-alertmanager --log.level=error --config.file="$here/../stack/alertmanager/alertmanager.yml" \
  --storage.path="$data/alertmanager" --cluster.listen-address= --web.listen-address=127.0.0.1:19093 &
prometheus --log.level=error --config.file="$here/prometheus.yml" --storage.tsdb.path="$data/prometheus" \
  --web.listen-address=127.0.0.1:19090 &
"$@" &
served=$!
until (: </dev/tcp/127.0.0.1/8000) 2>/dev/null || ! kill -0 "$served" 2>/dev/null; do
  sleep 0.2
done
kill -0 "$served" 2>/dev/null || exit 1
echo "The model is served at http://127.0.0.1:8000/docs until Ctrl-C. See also"
echo "http://127.0.0.1:8000/metrics/ and http://127.0.0.1:19090/alerts"
wait -n
