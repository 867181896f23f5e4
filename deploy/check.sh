#!/usr/bin/env bash
# Brings the compose file up for real, talks to it through nginx, kills a manager, and takes everything down again.
#   PARTYLINE_HTTP_PORT=8088 deploy/check.sh     (default 80)
# Needs Docker with Compose v2, curl and python3. Its project, image and volumes are its own: a running Partyline isn't
# touched, except that two can't have one port.
set -euo pipefail
cd "$(dirname "$0")"

export PARTYLINE_HTTP_PORT=${PARTYLINE_HTTP_PORT:-80}
export PARTYLINE_IMAGE=partyline-check:$$
readonly services=(nginx dispatcher us-east-1 ca-central-1 eu-central-1)
readonly json="content-type: application/json"
answer=$(mktemp)

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
    rm -f "$answer"
    exit "$status"
}
trap take_down EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# Every name leads to nginx, so no /etc/hosts is needed and the URLs stay as in the README whatever the port.
ask() { curl --silent --show-error --max-time 20 --connect-to "::127.0.0.1:$PARTYLINE_HTTP_PORT" "$@"; }

# expect STATUSES 'PYTHON ABOUT a' CURL-ARGUMENTS...: shows the request and its answer `a`, and ends the run if either is wrong.
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
    python3 -c 'import json, sys; a = json.load(open(sys.argv[1])); assert eval(sys.argv[2]), sys.argv[2]' "$answer" "$claim"
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
expect 201 'a["participant_id"] == 1' \
    -X POST "http://ca-central-1.app.local/parties/$code/participants" -H "$json" \
    -d '{"device_id":"phone-2","participant_name":"Ann"}'

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
    compose exec -T "$service" python -c \
        'from urllib.request import urlopen; print(len(urlopen("http://127.0.0.1:9100/metrics").read()), "bytes")'
done

echo "== non-root, no capabilities, read-only"
for service in "${services[@]}"; do
    # /proc/1/status: what the service itself runs with, whatever the compose file says.
    rights=$(compose exec -T "$service" grep -E '^(Uid|CapEff|CapBnd|NoNewPrivs):' /proc/1/status | tr '\t\n' ' ')
    echo "$service: $rights"
    [[ $rights =~ Uid:\ [1-9] && $rights =~ CapEff:\ 0+\  && $rights =~ CapBnd:\ 0+\  && $rights == *"NoNewPrivs: 1"* ]]
    if compose exec -T --user 0 "$service" touch /written 2>/dev/null; then
        echo "$service: its root file system can be written" >&2
        exit 1
    fi
done

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

echo "== stop"
docker rm --force "partyline-check-$$-squatter" >/dev/null
started=$SECONDS
compose stop 2>/dev/null
echo "stopped in $((SECONDS - started)) s"
for service in "${services[@]}"; do
    exit_code=$(docker inspect --format '{{.State.ExitCode}}' "$(compose ps --all --quiet "$service")")
    echo "$service: exit code $exit_code"
    ((exit_code == 0))
done
if compose logs --no-color | grep -nE '[?&](lat|lng)=|/managers/find|/parties/nearby|phone-[12]'; then
    echo "something stands in the logs that mustn't" >&2
    exit 1
fi
echo "All is well."
