import assert from "node:assert/strict";
import { test } from "node:test";
import { differences } from "./difference.ts";

test("what is equal is left out, and what has parts is compared part by part", () => {
    const then = { status: "draft", wave: 0, versions: { firmware: "1.0.0", modem: "3" }, waves: [{ percentage: 10 }], on: false };
    const now = { status: "running", wave: 1, versions: { firmware: "2.0.0", modem: "3" }, waves: [{ percentage: 10 }, { percentage: 100 }], on: false };
    assert.deepEqual(differences(then, now, ["wave"]), [
        { name: "status", then: "draft", now: "running" },
        { name: "versions.firmware", then: "1.0.0", now: "2.0.0" },
        { name: "waves.2.percentage", then: null, now: 100 },
    ]);
});

test("what is empty, missing and null is alike, and false is a value", () => {
    assert.deepEqual(differences({ a: null, b: "", c: [], d: {} }, {}, []), []);
    assert.deepEqual(differences({ a: null }, { a: false }, []), [{ name: "a", then: null, now: false }]);
    assert.deepEqual(differences({ tags: { site: "x" } }, { tags: {} }, []), [{ name: "tags.site", then: "x", now: null }]);
});

test("a list of plain values is one value, and what is below a skipped name is skipped", () => {
    assert.deepEqual(differences({ groups: ["a"] }, { groups: ["a", "b"], plan: { seed: 1 }, waits: [{ kind: "x" }] }, ["plan", "waits.kind"]), [{ name: "groups", then: "a", now: "a, b" }]);
});
