# What the commands of the documents find: a fleet, a campaign that has ended, and commands that make a state of their own.
# Sourced once for each document, after the shell of the runbook.

json='content-type: application/json'
AUTH="Authorization: Bearer $TOKEN"
API=$B
SEED_S=90 # longest wait for a state

# until_true COMMAND…
until_true() {
    local end=$((SECONDS + SEED_S))
    until "$@" >/dev/null 2>&1; do
        [ $SECONDS -lt $end ] || { echo "not within $SEED_S s: $*" >&2; return 1; }
        sleep 0.3
    done
}
# firmware VERSION MODEL: uploads it, or finds it
firmware() {
    printf 'firmware %s of %s' "$1" "$2" >seed.bin
    curl -s "$B/api/v1/firmware" -H "$AUTH" -F file=@seed.bin -F "metadata={\"name\":\"Seed\",\"version\":\"$1\",\"device_model\":\"$2\"}" | jq -r .firmware_id
}
campaign_is() { [ "$(get "/api/v1/campaigns/$1/status" | jq -r .status)" = "$2" ]; }
campaign_has_ended() { get "/api/v1/campaigns/$1/status" | jq -e '.status | startswith("completed")'; }
is_online() { get "/api/v1/devices/$1" | jq -e '.status == "online"'; }
# campaign NAME FIRMWARE FIELDS: creates and starts one
campaign() {
    local id
    id=$(post /api/v1/campaigns "{\"name\":\"$1\",\"firmware_id\":\"$2\",\"deployment_strategy\":\"staged\",\"reason\":\"seed\",$3}" | jq -r .campaign_id)
    post "/api/v1/campaigns/$id/start" '{"reason":"seed"}' >/dev/null
    echo "$id"
}

if [ ! -f seeded ]; then
    for device in d-1 d-2 d-3 d-4; do
        post /api/v1/devices "{\"device_id\":\"$device\",\"name\":\"Seed\",\"device_type\":\"seeded\",\"device_model\":\"seed-model\",
            \"firmware_version\":\"1.0.0\",\"tags\":{\"site\":\"north\"}}" >/dev/null
    done
    target/debug/waybill simulate --register --devices 6 --prefix fleet- --model fleet-model --fail 20 --seed 3 >simulator.log 2>&1 &
    for n in 1 2 3 4 5 6; do until_true is_online "fleet-0000$n"; done
    for model in fleet-model lone-model; do firmware 1.0.0 "$model" >/dev/null; done # what a rollback goes back to
    seeded_firmware=$(firmware 2.0.0 fleet-model)
    seeded_campaign=$(campaign Seeded "$seeded_firmware" '"target_filters":{"device_model":"fleet-model"},"failure_threshold_percent":100,"max_retries":0')
    until_true campaign_has_ended "$seeded_campaign"
    # One device by itself: what the others go through leaves it alone.
    target/debug/waybill simulate --register --devices 1 --prefix lone- --model lone-model >lone.log 2>&1 &
    until_true is_online lone-00001
    lone_campaign=$(campaign Lone "$(firmware 2.0.0 lone-model)" '"target_devices":["lone-00001"]')
    until_true campaign_has_ended "$lone_campaign"
    printf 'C=%s\nF=%s\nD=lone-00001\n' "$seeded_campaign" "$seeded_firmware" >seeded
fi
source ./seeded
CORRELATION=$(get "/api/v1/campaigns/$C/history?limit=50" | jq -r '[.items[] | select(.type == "campaign.started")][0].correlation_id')
ID=$CORRELATION
WAYBILL=$B
CAMPAIGN=$C

# A campaign that runs and whose devices are switched off; another one for each call.
count=0
running_campaign() {
    [ -z "${running:-}" ] || post "/api/v1/campaigns/$running/cancel" '{"reason":"next"}' >/dev/null || true
    count=$((count + 1))
    running=$(campaign "Running $count" "$(firmware "3.$count.$RANDOM" seed-model)" '"target_filters":{"device_type":"seeded"},"waves":[{"percentage":50},{"percentage":100}]')
    C=$running
    until_true campaign_is "$C" running
}
# The same, paused.
paused_campaign() {
    running_campaign
    post "/api/v1/campaigns/$C/pause" '{"reason":"seed"}' >/dev/null
}
# A certificate as a device's maker gives one.
device_certificate() { openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj "/CN=$D" -keyout device.key -out device.crt 2>/dev/null; }
# A token with which a device may register itself; the address in the document is an example.
device_registers_itself() {
    REGISTRATION_TOKEN=$(post /api/v1/registration-tokens '{"devices_max":5,"device_model":"SF-2024-Pro","reason":"seed"}' | jq -r .token)
    curl() { command curl --fail-with-body --show-error "${@//https:\/\/waybill.example.com/$B}"; }
}
# The device d-1 of the tenant `default`, with mosquitto's clients; host, tenant and ordinal in the document are examples.
as_device() {
    DEVICE_TOKEN=${DEVICE_TOKEN:-$(post /api/v1/devices/d-1/credentials '{"reason":"seed"}' | jq -r .token)}
    printf 'one line of a log\n' >ota.log
    mosquitto_sub() { mosquitto sub -C 1 -W 30 "$@"; }
    mosquitto_pub() { mosquitto pub "$@"; }
}
mosquitto() {
    local client=mosquitto_$1
    shift
    set -- "${@/mqtt.example.com/${MQTT%:*}}"
    set -- "${@/acme\//default/}"
    command "$client" -p "${MQTT#*:}" "${@/updates\/17/updates/${ORDINAL:-17}}"
}
device_has_a_command() {
    as_device
    mosquitto_pub -h mqtt.example.com -u acme/d-1 -P "$DEVICE_TOKEN" -i acme/d-1/boot -q 1 -t acme/devices/d-1/status \
        -m '{"status":"online","session":"1","boot_id":"1","firmware_version":"1.0.0"}'
    until_true is_online d-1
    post /api/v1/devices/d-1/commands '{"name":"report","reason":"seed"}' >/dev/null
}
command_is() { get "/api/v1/devices/d-1/commands/$1" | jq -e ".state == \"$2\""; }
log_is_there() { get "/api/v1/devices/d-1/updates/$ORDINAL/log" | jq -e '.items | length > 0'; }
device_has_an_update() {
    until_true command_is 1 done
    ORDINAL=$(post /api/v1/devices/d-1/update "{\"firmware_id\":\"$(firmware 9.0.0 seed-model)\",\"reason\":\"seed\"}" | jq -r .ordinal)
    mosquitto_pub() { mosquitto pub "$@" && until_true log_is_there; }
}
# A ChirpStack that doesn't answer: nothing in these requests waits for it.
URL=$B
chirpstack_is_connected() {
    curl -sS -X PUT "$URL/api/v1/tenants/default/chirpstack" -H "$AUTH" -H "$json" -o /dev/null -d '{"api_key":"seed",
        "url":"https://chirpstack.example.com:8080","chirpstack_tenant_id":"52f14cd4-c6f1-4fbd-8f87-4025e1d49242"}'
}
device_with_an_eui() {
    DEVICE=lora-1
    post /api/v1/devices '{"device_id":"lora-1","lorawan_dev_eui":"0a0b0c0d0e0f0001"}' >/dev/null
}
webhooks_have_a_secret() { SECRET='a long random text'; }
# What a build server has.
build_server() { openssl genpkey -algorithm ed25519 -out build-server.pem 2>/dev/null; printf 'a firmware to sign' >firmware_v4.0.0.bin; }
# Streams don't end by themselves.
for_two_seconds() { curl() { timeout 2 curl --fail-with-body --show-error "$@" || [ $? = 124 ]; }; }
# A firmware with documents beside it.
documents_to_upload() {
    F=$(firmware 5.0.0 seed-model)
    printf '{"bomFormat":"CycloneDX","specVersion":"1.6","components":[{"name":"openssl","version":"3.0.6","purl":"pkg:generic/openssl@3.0.6"}]}' >sbom.json
    printf '{"@context":"https://openvex.dev/ns/v0.2.0","statements":[{"vulnerability":{"name":"CVE-2022-3602"},"status":"affected",
        "products":[{"@id":"pkg:generic/sensor-firmware@5.0.0"},{"@id":"pkg:generic/other@1"}]}]}' >vex.json
}
