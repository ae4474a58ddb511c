"""Starts a Waybill with some resources in it, and lets schemathesis send generated requests to it. Called by scripts/fuzz-api."""

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

PROGRAM = Path(os.environ.get("CARGO_TARGET_DIR", "target")) / "debug" / "waybill"
EXAMPLES = int(os.environ.get("WAYBILL_FUZZ_EXAMPLES", "10"))
SEED = os.environ.get("WAYBILL_FUZZ_SEED", "1")
# Longest time of the whole, in seconds.
TIME_MAX_S = 180
START_MAX_S = 60
REQUEST_MAX_S = 35
BOUNDARY = "waybill-fuzz"
# Answers without end: only their heads are read.
STREAMS = ["/events/stream", "/events/ws"]
STREAM_REQUESTS = 60
STREAM_PARAMETERS = {
    "campaign_id": ["", "x", "{campaign_id}", "018f4e2a-7f00-7000-8000-000000000001"],
    "device_id": ["", "fuzz-1", "nobody", "a b", "\0", "d" * 300, "ü"],
    "types": ["", "device.held", "device.held,update.failed", "nothing", ","],
    "last_event_id": ["", "1", "0-0", "1700000000000-1", "1999999999999-5", "9" * 30, "-", "1-2-3"],
    "ticket": ["", "wbt_x", "wbt_" + "A" * 43],
    "unknown": ["1"],
}
# Operations whose requests may wait some seconds get fewer examples, never none.
SLOW = ["start", "execute", "preview", "what-if", "feed/consumers"]
SLOW_EXAMPLES = 5
# schemathesis, but a generated header that is urllib3's mark of a header to leave out doesn't end the run: the mark becomes another one.
SCHEMATHESIS = """
import runpy, secrets, urllib3.connection
urllib3.connection.SKIP_HEADER = secrets.token_hex(16)
runpy.run_module("schemathesis.cli", run_name="__main__", alter_sys=True)
"""
METHODS = {"get", "put", "post", "delete", "patch"}


class Api:
    """One admin of the default tenant."""

    def __init__(self, base: str):
        self.base = base
        self.token = ""
        wanted = {"user_id": "fuzz", "kind": "person", "expires_in": 86_400, "roles": ["admin", "platform_admin"]}
        self.token = self.post("/api/v1/auth/dev-token", wanted)["token"]

    def send(self, path: str, body: bytes | None, content_type: str) -> dict:
        headers = {"Content-Type": content_type}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        request = urllib.request.Request(self.base + path, data=body, headers=headers)
        with urllib.request.urlopen(request, timeout=REQUEST_MAX_S) as reply:
            return json.load(reply)

    def post(self, path: str, body: dict) -> dict:
        return self.send(path, json.dumps(body).encode(), "application/json")

    def upload(self, metadata: dict) -> dict:
        parts = [("metadata", json.dumps(metadata)), ("file", metadata["version"])]
        text = "".join(
            f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"; filename="f.bin"\r\n\r\n{content}\r\n'
            for name, content in parts
        )
        body = f"{text}--{BOUNDARY}--\r\n".encode()
        return self.send("/api/v1/firmware", body, f"multipart/form-data; boundary={BOUNDARY}")


def start(directory: Path, log) -> tuple[subprocess.Popen, str]:
    """A Waybill on free ports, without rate limits, which would hide other answers."""
    limits = {f"WAYBILL_{of}_REQUESTS_PER_SECOND": "0" for of in ["TENANT", "CREDENTIAL", "ADDRESS"]}
    ports = {f"WAYBILL_{of}_LISTEN": "127.0.0.1:0" for of in ["HTTP", "MQTT", "NATS"]}
    environment = os.environ | limits | ports | {"WAYBILL_DATA_DIR": str(directory / "data")}
    environment.pop("PYTHONPATH", None)
    process = subprocess.Popen([PROGRAM, "up"], env=environment, stdout=log, stderr=log)
    url = directory / "data" / "api-url"
    for _ in range(START_MAX_S * 10):
        if url.exists():
            return process, url.read_text().strip()
        if process.poll() is not None:
            break
        time.sleep(0.1)
    process.kill()
    raise SystemExit("fuzz-api: waybill up didn't start")


def resources(api: Api) -> dict[str, str]:
    """Resources to name in paths."""
    api.post("/api/v1/devices", {"device_id": "fuzz-1", "device_model": "M1", "firmware_version": "1.0.0"})
    firmware = api.upload({"name": "F", "version": "2.0.0", "device_model": "M1"})["firmware_id"]
    group = api.post("/api/v1/groups", {"name": "fuzzed"})
    campaign = {"name": "C", "firmware_id": firmware, "deployment_strategy": "immediate", "target_devices": ["fuzz-1"]}
    campaign_id = api.post("/api/v1/campaigns", campaign)["campaign_id"]
    # What is done to a tenant is done to another one than the caller's.
    api.post("/api/v1/tenants", {"tenant_id": "fuzzed"})
    return {"tenant_id": "fuzzed", "device_id": "fuzz-1", "firmware_id": firmware, "campaign_id": campaign_id, "group_id": group["group_id"]}


def flattened(description: dict) -> dict:
    """With whole paths, because schemathesis doesn't read the servers of single paths."""
    whole = {}
    for path, item in description["paths"].items():
        servers = item.pop("servers", description["servers"][:1])
        whole[servers[0]["url"].rstrip("/") + path] = item
    return description | {"paths": whole, "servers": [{"url": "/"}]}


def configuration(description: dict, named: dict[str, str]) -> str:
    """Of schemathesis: the resources, and fewer examples for what takes long."""
    lines = ["[parameters]"] + [f'"path.{name}" = {json.dumps(value)}' for name, value in named.items()]
    for path, item in description["paths"].items():
        if any(path.endswith(word) or f"{word}/" in path for word in SLOW):
            for method in METHODS & item.keys():
                lines += ["[[operations]]", f'include-name = "{method.upper()} {path}"', f"generation.max-examples = {SLOW_EXAMPLES}"]
    return "\n".join(lines) + "\n"


def fuzz_streams(api: Api, description: dict, named: dict[str, str]) -> int:
    """Opens streams with generated parameters and headers; no 5xx, and no status that the description doesn't have."""
    chosen, failed = random.Random(SEED), 0
    for path, item in description["paths"].items():
        known = item.get("get", {}).get("responses", {})
        for _ in range(STREAM_REQUESTS if path.endswith(tuple(STREAMS)) else 0):
            names = chosen.sample(sorted(STREAM_PARAMETERS), chosen.randint(0, 3))
            pairs = [(name, chosen.choice(STREAM_PARAMETERS[name]).format(**{"campaign_id": ""} | named)) for name in names]
            request = urllib.request.Request(f"{api.base}{path}?{urllib.parse.urlencode(pairs)}")
            if chosen.random() < 0.9:
                request.add_header("Authorization", f"Bearer {api.token}")
            if chosen.random() < 0.3:
                request.add_header("Last-Event-ID", urllib.parse.quote(chosen.choice(STREAM_PARAMETERS["last_event_id"])))
            try:
                with urllib.request.urlopen(request, timeout=REQUEST_MAX_S) as reply:
                    status = reply.status
            except urllib.error.HTTPError as refused:
                status = refused.code
            if str(status) not in known or status >= 500:
                print(f"fuzz-api: {request.full_url} {request.headers} answers {status}", file=sys.stderr)
                failed = 1
    return failed


def fuzz(directory: Path, api: Api, description: dict, named: dict[str, str], left_s: float) -> int:
    (directory / "openapi.json").write_text(json.dumps(description))
    (directory / "schemathesis.toml").write_text(configuration(description, named))
    command = [sys.executable, "-c", SCHEMATHESIS, "--config-file", str(directory / "schemathesis.toml"), "run"]
    command += [str(directory / "openapi.json"), "--url", api.base, "--header", f"Authorization: Bearer {api.token}"]
    command += ["--checks", "not_a_server_error,status_code_conformance", "--phases", "examples,coverage,fuzzing"]
    # One worker: requests then come in the order of the seed, and Python 3.11 doesn't parse its own sources in several threads.
    command += ["--max-examples", str(EXAMPLES), "--seed", SEED, "--generation-database", "none", "--workers", "1"]
    command += ["--request-timeout", str(REQUEST_MAX_S), "--warnings", "off", "--no-color", "--no-shrink"]
    command += ["--exclude-path-regex", "|".join(f"{path}$" for path in STREAMS)]
    try:
        return subprocess.run(command, cwd=directory, timeout=left_s).returncode
    except subprocess.TimeoutExpired:
        print(f"fuzz-api: it takes more than {TIME_MAX_S} s; give fewer examples", file=sys.stderr)
        return 1


def main() -> int:
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="waybill-fuzz-") as path:
        directory = Path(path)
        with open(directory / "waybill.log", "w") as log:
            process, base = start(directory, log)
        try:
            api = Api(base)
            with urllib.request.urlopen(base + "/openapi.json", timeout=REQUEST_MAX_S) as reply:
                description = flattened(json.load(reply))
            failed = 0
            # First any ids, then those of resources that exist.
            for named in [{}, resources(api)]:
                failed |= fuzz(directory, api, description, named, TIME_MAX_S - (time.monotonic() - began))
                failed |= fuzz_streams(api, description, named)
            if failed:
                print((directory / "waybill.log").read_text()[-4000:], file=sys.stderr)
            print(f"fuzz-api: {time.monotonic() - began:.0f} s")
            return failed
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait()


if __name__ == "__main__":
    sys.exit(main())
