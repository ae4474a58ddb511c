import assert from "node:assert/strict";
import { test } from "node:test";
import { path, ticks, timeTicks } from "./scale.ts";

test("ticks are round numbers", () => {
    assert.deepEqual(ticks(0, 42, 4), [0, 20, 40]);
    assert.deepEqual(ticks(0, 1, 4), [0, 0.5, 1]);
    assert.deepEqual(ticks(-0.3, 0.3, 3), [-0.2, 0, 0.2]);
    assert.deepEqual(ticks(5, 5, 4), [5]);
});

test("ticks of time are round in the zone", () => {
    const [low, high] = [Date.parse("2026-01-01T00:10:00Z"), Date.parse("2026-01-03T00:00:00Z")];
    assert.deepEqual(timeTicks(low, high, 2, 0).map(time => new Date(time).toISOString()), ["2026-01-02T00:00:00.000Z", "2026-01-03T00:00:00.000Z"]);
    assert.deepEqual(timeTicks(low, high, 2, -60).map(time => new Date(time).toISOString()), ["2026-01-01T23:00:00.000Z", "2026-01-02T23:00:00.000Z"]);
});

test("a line has a gap where there is no value", () => {
    assert.equal(path([[0, 1], [1, 2], [2, null], [3, 4]]), "M0.0 1.0L1.0 2.0M3.0 4.0");
});
