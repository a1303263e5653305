#!/usr/bin/env bash
# A real Prometheus server scrapes the built agent. Needs curl, and from Debian's package prometheus
# the programs prometheus and promtool; nothing of it needs to be root or to be running.
#
#     cargo build && crates/agent/tests/prometheus.sh [target/debug/weir]
set -euo pipefail
weir=$(realpath "${1:-$(dirname "$0")/../../../target/debug/weir}")
dir=$(mktemp -d)
cd "$dir"
trap 'kill $(jobs -p) 2>/dev/null || true; wait; rm -rf "$dir"' EXIT

fail() {
    echo "FAILED: $*" >&2
    tail -n 20 ./*.log >&2
    exit 1
}

# Tries a command again until it succeeds, for half a minute at most.
await() {
    for _ in $(seq 150); do
        "$@" && return
        sleep 0.2
    done
    fail "$* did not come true"
}

# The first match of a pattern in a file, once it is there.
found() {
    await grep -qE "$2" "$1"
    grep -oE "$2" "$1" | head -n 1
}

cat >weir.toml <<END
data_dir = "$dir/data"
flush_interval = "1s"
[[listener]]
url = "udp://127.0.0.1:0"
[http]
listen = "127.0.0.1:0"
END
"$weir" run --config weir.toml >weir.log 2>&1 &
http=$(found weir.log 'HTTP on tcp://[0-9.:]+' | sed 's,.*//,,')
udp=$(found weir.log 'listening on udp://[0-9.:]+' | sed 's,.*:,,')
send() { printf '%b' "$1" >"/dev/udp/127.0.0.1/${2:-$udp}"; }
metrics() { curl -sS --fail "http://$http/metrics"; }
# Not with -q, which ends before curl does.
has() { metrics | grep -aE "$1" >/dev/null; }

echo '== weir'\''s own metrics are named by the rules'
await has '^weir_series 0$'
metrics | promtool check metrics || fail 'promtool has something to say'

echo '== whatever clients send, the text is well-formed'
container=$(curl -sS --fail "http://$http/container" -d '{"container_id":"c1"}')
port=$(grep -oE '[0-9]+}' <<<"$container" | tr -d '}')
send 'page.views:2|c|#page:home\ntook:10:30|ms\nlevel:-1.5e300|g\nwho:a|s' "$port"
await has '^took_count\{.*\} 2$'
send 'page/views:1|c\npage_views:5|g\nweir.series:7|g\ntook.count:9|c'
send 'odd:1|c|#__name__:x,le:4,"q":\\\\,a.b:1,a_b:2,quantile:3,job:j,instance:i'
send 'nul:1|c|#k:\0\01\r\t"}\nbytes\xff\xfe:1|c\n{}:1|c\n#:1|g\n5xx:1|c\ncaf\xc3\xa9:1|c'
await has '^nul\{'
# 3: well-formed, but DC/OS's names are not those that the linter likes.
metrics | promtool check metrics >lint.log 2>&1 || [ $? = 3 ] || fail 'promtool cannot read it'

echo '== a server takes all of it'
cat >prometheus.yml <<END
global: {scrape_interval: 1s}
scrape_configs:
  - {job_name: weir, static_configs: [{targets: ["$http"]}]}
END
prometheus --config.file=prometheus.yml --storage.tsdb.path=tsdb \
    --web.listen-address=127.0.0.1:0 >prometheus.log 2>&1 &
server=$(found prometheus.log 'msg="Listening on" address=[0-9.:]+' | sed 's,.*=,,')
# The value of a query, or nothing.
query() {
    curl -sS -G "http://$server/api/v1/query" --data-urlencode "query=$1" |
        grep -oE '"value":\[[0-9.]+,"[^"]*"' | sed 's,.*"\([^"]*\)"$,\1,'
}
is() { [ "$(query "$1" || true)" = "$2" ]; }
await is 'up{job="weir"}' 1
await is 'page_views{container_id="c1",page="home",metric_type="counter"}' 2
await is 'took{quantile="0.99"}' 30
await is 'took_sum{metric_type="timing"}' 40
await is 'level' -1.5e+300
await is 'nul' 1
await is 'weir_source_aggregated_samples_total{container_id="c1"}' 5
await is 'weir_prometheus_refused_samples{reason="type_clash"}' 2
await is 'weir_prometheus_refused_samples{reason="reserved"}' 1
# Nothing of it is left behind.
samples=$(metrics | grep -cav '^#')
await is 'scrape_samples_scraped' "$samples"
for trouble in duplicate_timestamp out_of_order out_of_bounds; do
    count=$(curl -sS "http://$server/metrics" |
        grep -oE "^prometheus_target_scrapes_sample_${trouble}_total [0-9]+" | sed 's,.* ,,')
    [ "$count" = 0 ] || fail "$count samples were refused: $trouble"
done

echo '== a container'\''s series go after one more scrape'
curl -sS --fail -X DELETE "http://$http/container/c1"
await is 'count({container_id="c1",__name__!~"weir_.*"})' ''

echo '== all is well'
