"""Updates a fleet from a program: uploads a firmware, previews a campaign, starts it, follows it to its end. See README.md for how to run it.

Uses the standard library only. What a client of Waybill should do, and this one does:

- give each command an Idempotency-Key, so that it can be sent again when its reply was lost;
- wait for the time that Retry-After names, on 429 and 503;
- pass the position of a reply on as `min_position`, so that a later question sees what the command did;
- take the type of a problem, not its text, to decide what to do.
"""

import argparse
import json
import os
import sys
import time
import urllib.error
import urllib.request
import uuid

# Times that one request is sent, and the longest pause between them in seconds.
ATTEMPTS_MAX = 5
PAUSE_MAX_S = 30
REQUEST_MAX_S = 60
POLL_S = 1
ENDED = {"completed", "completed_with_failures", "cancelled", "rolled_back"}


class Problem(Exception):
    """What the server answered instead: RFC 9457, with `type`, `status` and `detail`."""

    def __init__(self, status: int, body: dict):
        super().__init__(f"{status} {body.get('type', '')}: {body.get('detail') or body.get('title', '')}")
        self.status = status
        self.body = body


class Waybill:
    """One Waybill and a token for it."""

    def __init__(self, server: str, token: str | None):
        self.base = server.rstrip("/") + "/api/v1"
        self.token = token
        self.position = None
        if token is None:
            # Development mode only. Elsewhere: an API key or a token of your issuer.
            self.token = self.post("/auth/dev-token", {"user_id": "example", "expires_in": 3600})["token"]

    def get(self, path: str) -> dict:
        """Asks, and sees at least what the commands before have done."""
        separator = "&" if "?" in path else "?"
        return self.send("GET", f"{path}{separator}min_position={self.position}" if self.position else path)

    def post(self, path: str, body: dict) -> dict:
        return self.send("POST", path, json.dumps(body).encode(), "application/json")

    def upload(self, file: str, metadata: dict) -> dict:
        """Sends a firmware, all of it from memory: for large files take a library that streams multipart bodies."""
        boundary = uuid.uuid4().hex
        with open(file, "rb") as opened:
            content = opened.read()
        parts = [
            f'--{boundary}\r\ncontent-disposition: form-data; name="metadata"\r\n\r\n{json.dumps(metadata)}\r\n'.encode(),
            f'--{boundary}\r\ncontent-disposition: form-data; name="file"; filename="firmware.bin"\r\n\r\n'.encode(),
            content,
            f"\r\n--{boundary}--\r\n".encode(),
        ]
        return self.send("POST", "/firmware", b"".join(parts), f"multipart/form-data; boundary={boundary}")

    def send(self, method: str, path: str, body: bytes | None = None, content_type: str | None = None) -> dict:
        headers = {"accept": "application/json"}
        if self.token:
            headers["authorization"] = f"Bearer {self.token}"
        if content_type:
            headers |= {"content-type": content_type, "idempotency-key": str(uuid.uuid4())}
        for attempt in range(1, ATTEMPTS_MAX + 1):
            request = urllib.request.Request(self.base + path, body, headers, method=method)
            try:
                with urllib.request.urlopen(request, timeout=REQUEST_MAX_S) as reply:
                    answer = json.load(reply)
                    self.position = answer.get("position", self.position)
                    return answer
            except urllib.error.HTTPError as error:
                if error.code not in (429, 503) or attempt == ATTEMPTS_MAX:
                    raise Problem(error.code, read_problem(error)) from None
                pause = error.headers.get("retry-after")
                time.sleep(min(float(pause) if pause else attempt, PAUSE_MAX_S))
            except (urllib.error.URLError, TimeoutError) as error:
                if attempt == ATTEMPTS_MAX:
                    raise SystemExit(f"{self.base} can't be reached: {error}") from None
                time.sleep(min(2**attempt, PAUSE_MAX_S))
        raise AssertionError("unreachable")


def read_problem(error: urllib.error.HTTPError) -> dict:
    try:
        return json.load(error)
    except ValueError:
        return {}


def update_fleet(api: Waybill, args: argparse.Namespace) -> int:
    metadata = {"name": args.model, "version": args.version, "device_model": args.model}
    firmware = api.upload(args.file, metadata)["firmware_id"]
    print(f"firmware {firmware}")
    order = {
        "name": f"{args.model} {args.version}",
        "firmware_id": firmware,
        "deployment_strategy": "staged",
        "target_filters": {"device_model": args.model},
        "reason": "example",
    }
    preview = api.post("/campaigns/preview", order)
    print(f"preview  {json.dumps({name: preview[name] for name in ('devices', 'excluded') if name in preview})}")
    campaign = api.post("/campaigns", order)["campaign_id"]
    api.post(f"/campaigns/{campaign}/start", {"reason": "example"})
    shown = None
    while True:
        status = api.get(f"/campaigns/{campaign}/status")
        line = f"{status['status']} {status['progress_percent']} %"
        if line != shown:
            print(f"campaign {line}", flush=True)
            shown = line
        if status["status"] in ENDED:
            break
        if status["status"] == "paused":
            print("a gate or a person has paused it: GET /campaigns/{id}/gates says what was measured", file=sys.stderr)
            return 1
        time.sleep(POLL_S)
    for device in api.get(f"/campaigns/{campaign}/devices?limit=3")["items"]:
        why = api.get(f"/devices/{device['device_id']}/why")
        print(f"why      {why['answer']}")
    return 0 if status["status"] == "completed" else 1


def main() -> int:
    parser = argparse.ArgumentParser(description="Updates all devices of a model with a firmware")
    parser.add_argument("--server", default="http://127.0.0.1:8240")
    parser.add_argument("--token", default=os.environ.get("WAYBILL_TOKEN"), help="API key or token; without it one for development is fetched")
    parser.add_argument("--model", required=True)
    parser.add_argument("--version", required=True)
    parser.add_argument("--file", required=True, help="the firmware")
    args = parser.parse_args()
    try:
        return update_fleet(Waybill(args.server, args.token), args)
    except Problem as problem:
        print(problem, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
