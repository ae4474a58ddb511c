import assert from "node:assert/strict";
import { test } from "node:test";
import { bytes, clock, count, duration, percent, relative, several, words } from "./format.ts";

test("a duration has at most two units", () => {
    assert.equal(duration(0), "0 s");
    assert.equal(duration(59), "59 s");
    assert.equal(duration(61), "1 min 1 s");
    assert.equal(duration(7_500), "2 h 5 min");
    assert.equal(duration(7_200), "2 h");
    assert.equal(duration(90_000), "1 d 1 h");
});

test("a time is ago, ahead or now", () => {
    const now = Date.parse("2026-11-29T12:00:00Z");
    assert.equal(relative("2026-11-29T11:55:00Z", now), "5 min ago");
    assert.equal(relative("2026-11-29T14:00:00Z", now), "in 2 h");
    assert.equal(relative("2026-11-29T12:00:00.300Z", now), "now");
});

test("a clock has the date unless it is today's", () => {
    const now = Date.parse("2026-11-29T12:00:00Z");
    assert.equal(clock("2026-11-29T14:03:07Z", "utc", now), "14:03:07");
    assert.equal(clock("2026-11-28T14:03:07Z", "utc", now), "2026-11-28 14:03:07");
    assert.equal(clock("no time", "utc", now), "no time");
});

test("numbers are grouped, and nothing is divided by zero", () => {
    assert.equal(count(18_204_113), "18\u202f204\u202f113");
    assert.equal(bytes(17_700_000), "17.7 MB");
    assert.equal(bytes(999), "999 B");
    assert.equal(percent(4, 120), "3.3\u00a0%");
    assert.equal(percent(0, 0), "–");
    assert.equal(several(1, "device"), "1 device");
    assert.equal(several(2_000, "device"), "2\u202f000 devices");
    assert.equal(words("completed_with_failures"), "completed with failures");
});
