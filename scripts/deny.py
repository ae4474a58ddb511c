"""Checks dependencies against deny.toml: licenses, banned crates, crates in several versions, sources.

It reads what the packages say of themselves (`cargo metadata`). It is not cargo-deny: it looks at no license texts and at no advisories.
"""

import json
import re
import subprocess
import sys
import tomllib
from collections import defaultdict

REGISTRY = "registry+"


def packages(targets: list[str]) -> dict[str, dict]:
    """All packages that are built on any of the targets, by id."""
    found = {}
    for target in targets:
        command = ["cargo", "metadata", "--locked", "--format-version", "1", "--filter-platform", target]
        metadata = json.loads(subprocess.check_output(command))
        built = {node["id"] for node in metadata["resolve"]["nodes"]}
        found |= {package["id"]: package for package in metadata["packages"] if package["id"] in built}
    return found


def is_allowed(expression: str, allowed: set[str]) -> bool:
    """Whether an SPDX expression can be met with allowed licenses. `/` is an older way to write OR; AND binds closer than OR."""
    tokens = re.findall(r"\(|\)|[A-Za-z0-9.+-]+", expression.replace("/", " OR "))

    def alternatives() -> bool:
        met = all_of()
        while tokens and tokens[0] == "OR":
            tokens.pop(0)
            other = all_of()
            met = met or other
        return met

    def all_of() -> bool:
        met = one()
        while tokens and tokens[0] == "AND":
            tokens.pop(0)
            other = one()
            met = met and other
        return met

    def one() -> bool:
        token = tokens.pop(0)
        if token == "(":
            met = alternatives()
            tokens.pop(0)
            return met
        if tokens and tokens[0] == "WITH":
            tokens.pop(0)
            token = f"{token} WITH {tokens.pop(0)}"
        return token in allowed

    met = alternatives()
    if tokens:
        raise ValueError(f"not an SPDX expression: {expression}")
    return met


def wrong_licenses(found: dict[str, dict], rules: dict) -> list[str]:
    wrong = []
    for package in found.values():
        license = package["license"]
        if not license:
            wrong.append(f"{package['name']} {package['version']} names no license")
        elif not is_allowed(license, set(rules["allow"])):
            wrong.append(f"{package['name']} {package['version']} has the license {license}, which deny.toml doesn't allow")
    return wrong


def wrong_crates(found: dict[str, dict], rules: dict) -> list[str]:
    versions = defaultdict(set)
    for package in found.values():
        versions[package["name"]].add(package["version"])
    banned = {ban["crate"]: ban["reason"] for ban in rules["deny"]}
    wrong = [f"{name} is banned: {reason}" for name, reason in banned.items() if name in versions]
    skipped = {skip["crate"] for skip in rules["skip"]}
    for name, several in versions.items():
        if len(several) > 1 and name not in skipped:
            wrong.append(f"{name} is here in several versions, {', '.join(sorted(several))}: unite them, or name it in deny.toml (skip)")
    wrong += [f"{name} is here once: remove it from deny.toml (skip)" for name in sorted(skipped) if len(versions[name]) < 2]
    for package in found.values():
        own = package["source"] is None
        wild = [other["name"] for other in package["dependencies"] if own and other["req"] == "*" and not other.get("path")]
        wrong += [f"{package['name']} wants any version of {name}" for name in wild]
    return wrong


def wrong_sources(found: dict[str, dict], rules: dict) -> list[str]:
    allowed = {REGISTRY + registry for registry in rules["allow-registry"]}
    return [
        f"{package['name']} {package['version']} comes from {package['source']}"
        for package in found.values()
        if package["source"] is not None and package["source"] not in allowed
    ]


def main() -> int:
    with open("deny.toml", "rb") as file:
        rules = tomllib.load(file)
    found = packages(rules["graph"]["targets"])
    wrong = wrong_licenses(found, rules["licenses"]) + wrong_crates(found, rules["bans"]) + wrong_sources(found, rules["sources"])
    for line in sorted(set(wrong)):
        print(line, file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
