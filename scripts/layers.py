"""Checks that dependencies between crates point one way, and that outside libraries stay in the crate that owns them."""

import json
import subprocess
import sys

BASE = {"runtime", "domain", "event-store"}
ALLOWED = {
    "runtime": set(),
    "domain": set(),
    "trust": {"domain"},
    "documents": {"domain"},
    "chirpstack": {"runtime"},
    "event-store": {"runtime", "domain", "trust"},
    "firmware-store": {"runtime"},
    "projections": BASE | {"documents"},
    "process-managers": BASE | {"projections", "chirpstack"},
    "mqtt-bridge": BASE | {"trust", "chirpstack"},
    "console": set(),
    "command-api": BASE | {"trust", "documents", "projections", "chirpstack", "firmware-store", "console"},
    "fake-chirpstack": {"chirpstack", "runtime"},
    "operator-cli": set(),
    "waybill": BASE | {"trust", "chirpstack", "firmware-store", "projections", "process-managers", "mqtt-bridge", "command-api", "operator-cli"},
    "bench": None,
    "tests": None,
}
# Library: the crates that may name it.
OWNERS = {
    "sqlx": {"projections", "bench"},
    "postgres-es": {"projections"},
    "axum": {"command-api", "console", "bench"},
    "tonic": {"chirpstack", "fake-chirpstack"},
    "tonic-prost": {"chirpstack", "fake-chirpstack"},
    "prost": {"chirpstack", "fake-chirpstack"},
    "prost-types": {"chirpstack", "fake-chirpstack"},
    "async-nats": {"event-store", "mqtt-bridge", "waybill", "bench", "tests"},
}
NOT_IN_DOMAIN = {"tokio", "tokio-util", "futures", "async-trait", "rand", "reqwest", "rumqttc-v4-next", "tracing", "metrics"}


def main() -> int:
    metadata = json.loads(subprocess.check_output(["cargo", "metadata", "--no-deps", "--format-version", "1"]))
    packages = {package["name"]: package for package in metadata["packages"]}
    wrong = []
    for name, package in packages.items():
        if name not in ALLOWED:
            wrong.append(f"{name} has no place in the layers: add it to scripts/layers.py")
        for dependency in package["dependencies"]:
            other = dependency["name"]
            allowed = ALLOWED.get(name, set())
            # A library of crates.io may have the name of a crate here.
            is_ours = other in packages and "path" in dependency
            if is_ours and allowed is not None and other not in allowed:
                wrong.append(f"{name} may not depend on {other}")
            if other in OWNERS and name not in OWNERS[other]:
                wrong.append(f"{name} may not name {other}: it belongs to {', '.join(sorted(OWNERS[other]))}")
            if name == "domain" and dependency["kind"] is None and other in NOT_IN_DOMAIN:
                wrong.append(f"domain is pure and may not name {other}")
    for line in wrong:
        print(line, file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
