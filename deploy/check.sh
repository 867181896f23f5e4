#!/usr/bin/env bash
# Brings the compose file up for real, talks and listens to it through nginx, kills and restarts a manager, and takes
# everything down again.
#   PARTYLINE_HTTP_PORT=8088 deploy/check.sh     (default 80)
# Needs Docker with Compose v2, curl and python3. Its project, image and volumes are its own: a running Partyline isn't
# touched, except that two can't have one port.
set -euo pipefail
cd "$(dirname "$0")"

export PARTYLINE_HTTP_PORT=${PARTYLINE_HTTP_PORT:-80}
export PARTYLINE_IMAGE=partyline-check:$$
readonly services=(nginx dispatcher us-east-1 ca-central-1 eu-central-1)
readonly json="content-type: application/json"
export PARTYLINE_RATE_LIMITS=on PARTYLINE_FAILED_LOOKUPS_PER_H=5
export PARTYLINE_NOFILE=${PARTYLINE_NOFILE:-16384}
work=$(mktemp -d)
readonly work answer=$work/answer
listeners=()

compose() { docker compose --project-name "partyline-check-$$" "$@"; }

take_down() {
    local status=$?
    trap - EXIT INT TERM
    if ((status)); then
        echo "FAILED (exit code $status); the last that the containers said:" >&2
        compose ps --all >&2 || true
        compose logs --no-color --tail 40 >&2 || true
    fi
    compose down --volumes --remove-orphans --timeout 5 >/dev/null 2>&1 || status=1
    docker image rm --force "$PARTYLINE_IMAGE" >/dev/null 2>&1 || true
    for listener in "${listeners[@]}"; do kill "$listener" 2>/dev/null || true; done
    rm -rf "$work"
    exit "$status"
}
trap take_down EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# Every name leads to nginx, so no /etc/hosts is needed and the URLs stay as in the README whatever the port.
readonly curl=(curl --silent --show-error --connect-to "::127.0.0.1:$PARTYLINE_HTTP_PORT")
ask() { "${curl[@]}" --max-time 20 "$@"; }

# expect STATUSES 'PYTHON ABOUT a' CURL-ARGUMENTS...: shows the request and its answer `a` (None where that is empty),
# and ends the run if either is wrong.
expect() {
    local wanted=$1 claim=$2 status word
    shift 2
    status=$(ask --output "$answer" --write-out '%{http_code}' "$@")
    printf '%s' '$ curl'
    for word; do
        if [[ $word == *[!A-Za-z0-9_./:=@-]* ]]; then word="'$word'"; fi
        printf ' %s' "$word"
    done
    printf '\n%s %s\n' "$status" "$(cat "$answer")"
    [[ $status =~ ^($wanted)$ ]] || { echo "expected $wanted" >&2; return 1; }
    claim "$claim" < "$answer"
}
readonly check='import json, sys; a = json.loads(sys.stdin.read() or "null"); assert eval(sys.argv[1]), sys.argv[1]'
claim() { python3 -c "$check" "$1"; }

# Listeners run in the background and write what they hear to a file: `listen_by_sse FILE CODE TOKEN` with curl,
# `listen` as browsers do, from a container of the network.
listen_by_sse() {
    "${curl[@]}" -N "http://ca-central-1.app.local/parties/$2/events" -H "Authorization: Bearer $3" > "$1" &
    listeners+=($!)
}
listen() {
    exec_in dispatcher - ca-central-1.app.local "$2" "$3" < listen.py > "$1" &
    listeners+=($!)
}
exec_in() { compose exec -T "$1" python "${@:2}"; }

# heard FILE TEXT: waits until a line has the text in it, and shows it; it is the `answer` too.
heard() {
    for _ in {1..150}; do
        if grep -s -m 1 -F -- "$2" "$1" | tee "$answer"; then return; fi
        sleep 0.2
    done
    printf 'never heard %s, only:\n' "$2" >&2
    cat "$1" >&2
    return 1
}

field() { python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))[sys.argv[2]])' "$answer" "$1"; }
address() {
    docker inspect --format '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}' "$(compose ps --quiet ca-central-1)"
}

echo "== up"
compose up --build --wait --wait-timeout 120 > "$answer" 2>&1 || { tail -n 40 "$answer" >&2; exit 1; }
compose ps --format 'table {{.Service}}\t{{.Image}}\t{{.Status}}\t{{.Ports}}'

echo "== the three lines of the README"
expect 200 'a["hostname"] == "ca-central-1.app.local"' \
    "http://dispatcher.app.local/managers/find?lng=-73.57&lat=45.50"
expect 201 'len(a["party_code"]) == 9 and a["party_code"].isdigit() and a["party_code"][0] == "4"' \
    -X POST http://ca-central-1.app.local/parties -H "$json" -d '{"device_id":"phone-1"}'
code=$(field party_code)
token=$(field token)
expect 201 'a["participant_id"] == 1' \
    -X POST "http://ca-central-1.app.local/parties/$code/participants" -H "$json" \
    -d '{"device_id":"phone-2","participant_name":"Ann"}'
ann=$(field token)

echo "== from another region's door, by redirect"
expect 200 'a["leader_id"] == 0 and a["participant_count"] == 2' -L "http://eu-central-1.app.local/parties/$code"

echo "== what nginx keeps to itself"
expect 404 'a["code"] == "host_unknown"' http://us-west-9.app.local/parties
for host in dispatcher us-east-1 ca-central-1 eu-central-1; do
    expect 404 'a["code"] == "not_found"' "http://$host.app.local/metrics"
done
expect 413 'a["code"] == "body_too_large"' -X POST http://ca-central-1.app.local/parties -H "$json" \
    --data-binary @- < <(head -c 30000 /dev/zero)
ask --head -H "X-Request-Id: check-$$" "http://ca-central-1.app.local/parties/$code" > "$answer"
grep -iq "^x-request-id: check-$$" "$answer" || { echo "X-Request-Id didn't come back" >&2; exit 1; }

echo "== metrics, from inside"
for service in "${services[@]:1}"; do
    exec_in "$service" -c \
        'from urllib.request import urlopen; print(len(urlopen("http://127.0.0.1:9100/metrics").read()), "bytes")'
done

echo "== non-root, no capabilities, read-only, $PARTYLINE_NOFILE files"
for service in "${services[@]}"; do
    # /proc/1/status: what the service itself runs with, whatever the compose file says.
    rights=$(compose exec -T "$service" grep -E '^(Uid|CapEff|CapBnd|NoNewPrivs):' /proc/1/status | tr '\t\n' ' ')
    echo "$service: $rights"
    [[ $rights =~ Uid:\ [1-9] && $rights =~ CapEff:\ 0+\  && $rights =~ CapBnd:\ 0+\  && $rights == *"NoNewPrivs: 1"* ]]
    if compose exec -T --user 0 "$service" touch /written 2>/dev/null; then
        echo "$service: its root file system can be written" >&2
        exit 1
    fi
    compose exec -T "$service" grep -Eq "^Max open files +$PARTYLINE_NOFILE +$PARTYLINE_NOFILE " /proc/1/limits
done
# How long nginx believes in listeners who acknowledge nothing.
[[ $(compose exec -T nginx cat /proc/sys/net/ipv4/tcp_retries2) == 6 ]]

echo "== kill -9 and back"
before=$(address)
compose kill --signal KILL ca-central-1 2>/dev/null
# Somebody else takes the freed address, so that the manager must come back under another one.
compose run --detach --no-deps --name "partyline-check-$$-squatter" --entrypoint sleep nginx 300 >/dev/null 2>&1
expect '502|504' 'a["status"] in (502, 504)' "http://ca-central-1.app.local/parties/nearby?lat=45.5&lng=-73.57"
compose up --wait --wait-timeout 60 2>/dev/null
after=$(address)
echo "ca-central-1 was $before, is $after"
expect 200 'a["participant_count"] == 2' "http://ca-central-1.app.local/parties/$code"
expect 200 '[p["participant_name"] for p in a["participants"]][1] == "Ann"' \
    "http://ca-central-1.app.local/parties/$code/participants"

echo "== live: server-sent events and a WebSocket"
listen_by_sse "$work/sse" "$code" "$ann"
heard "$work/sse" '"type":"snapshot"'
listen "$work/ws" "$code" "$ann"
heard "$work/ws" '"type":"snapshot"'
expect 201 'a["participant_id"] == 2' \
    -X POST "http://ca-central-1.app.local/parties/$code/participants" -H "$json" \
    -d '{"device_id":"phone-3","participant_name":"Cid"}'
cid=$(field token)
heard "$work/sse" '"type":"participant_joined"'
heard "$work/ws" '"type":"participant_joined"'
expect 204 'a is None' \
    -X DELETE "http://ca-central-1.app.local/parties/$code/participants/0" -H "Authorization: Bearer $token"
heard "$work/ws" '"type":"participant_left"'
heard "$work/ws" '"type":"leader_promoted"'
claim 'a["participant_id"] == 1' < "$answer"

echo "== live: who hangs up is gone at once"
listen_by_sse "$work/cid" "$code" "$cid"
heard "$work/ws" '"participant_id":2,"online":true'
kill "${listeners[-1]}"
wait "${listeners[-1]}" || true
heard "$work/ws" '"participant_id":2,"online":false'

echo "== live: a restart, and back in one's seat"
compose restart ca-central-1 2>/dev/null
heard "$work/ws" 'closed 1001 draining'
heard "$work/sse" '{"code":1001,"reason":"draining"}'
compose up --wait --wait-timeout 60 2>/dev/null
listen "$work/ws-again" "$code" "$ann"
heard "$work/ws-again" '"type":"snapshot"'
claim '[(p["participant_id"], p["is_leader"]) for p in a["participants"]] == [(1, True), (2, False)]' < "$answer"
claim '[p["online"] for p in a["participants"]] == [True, False]' < "$answer"
listen_by_sse "$work/cid-again" "$code" "$cid"
heard "$work/cid-again" '"type":"snapshot"'
expect 204 'a is None' \
    -X DELETE "http://ca-central-1.app.local/parties/$code/participants/1" -H "Authorization: Bearer $ann"
heard "$work/ws-again" 'closed 1000 left'

echo "== rate limits: by the address that nginx saw, whatever the client claims"
guess="http://eu-central-1.app.local/parties/500000000"
for _ in {1..5}; do expect 404 'a["code"] == "party_not_found"' "$guess"; done
expect 429 'a["code"] == "too_many_requests"' "$guess"
expect 429 'True' "$guess" -H 'X-Forwarded-For: 198.51.100.7'
expect 429 'True' "$guess" -H 'X-Forwarded-For: 198.51.100.7, 203.0.113.9' -H 'X-Forwarded-For: 192.0.2.1'
ask --head "$guess" > "$answer"
grep -i '^retry-after: ' "$answer"
grep -i '^ratelimit: ' "$answer"
# Somebody else behind the same nginx isn't concerned.
exec_in us-east-1 - << 'PYTHON' | claim 'a["code"] == "party_not_found"'
from urllib.error import HTTPError
from urllib.request import Request, urlopen

try:
    urlopen(Request("http://nginx:8080/parties/500000000", headers={"Host": "eu-central-1.app.local"}))
except HTTPError as error:
    print(error.read().decode())
PYTHON

echo "== stop, while somebody listens"
docker rm --force "partyline-check-$$-squatter" >/dev/null
started=$SECONDS
compose stop 2>/dev/null
heard "$work/cid-again" '{"code":1001,"reason":"draining"}'
echo "stopped in $((SECONDS - started)) s"
for service in "${services[@]}"; do
    exit_code=$(docker inspect --format '{{.State.ExitCode}}' "$(compose ps --all --quiet "$service")")
    echo "$service: exit code $exit_code"
    ((exit_code == 0))
done
if compose logs --no-color |
    grep -nE "[?&](lat|lng)=|/managers/find|/parties/nearby|/events|phone-[1-9]|$token|$ann|$cid"; then
    echo "something stands in the logs that mustn't" >&2
    exit 1
fi
echo "All is well."
