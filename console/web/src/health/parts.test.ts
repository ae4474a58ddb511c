import assert from "node:assert/strict";
import { test } from "node:test";
import { sorted, stateOf, troubles } from "./parts.ts";

test("parts are read models, process managers and others", () => {
    const { models, managers, others } = sorted([{ name: "event log", up: true }, { name: "projection fleet", up: true }, { name: "process manager rollout", up: true }]);
    assert.deepEqual([models[0]?.name, managers[0]?.name, others[0]?.name], ["fleet", "rollout", "event log"]);
});

test("a part is up or down for those who see no details", () => {
    assert.equal(stateOf({ name: "a", up: false }), "down");
    assert.equal(stateOf({ name: "a", up: true, status: "degraded" }), "degraded");
});

test("parked aggregates and parts that aren't up need somebody", () => {
    const parts = [{ name: "a", up: true, parked: 0 }, { name: "b", up: true, parked: 2 }, { name: "c", up: false }];
    assert.deepEqual(troubles(parts).map(part => part.name), ["b", "c"]);
});
