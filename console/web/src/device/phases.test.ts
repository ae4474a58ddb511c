import assert from "node:assert/strict";
import { test } from "node:test";
import type { HistoryItem } from "../api/types.ts";
import { clocks, phaseTimes, steps } from "./phases.ts";
import { proofOf } from "./proof.ts";

const item = (type: string, seconds: number, event: object): HistoryItem =>
    ({ type, position: `1-${seconds}.0`, version: 1, event, stored_at: `2026-11-29T12:00:${String(seconds).padStart(2, "0")}Z` }) as unknown as HistoryItem;
const of = (ordinal: number) => ({ update: { ordinal, attempt: 1 } });

test("an update shows what is done, where it is and what comes", () => {
    const times = phaseTimes([item("update.dispatched", 1, of(1)), item("update.accepted", 3, of(1)), item("update.accepted", 9, of(2))], 1);
    const shown = steps({ phase: "accepted", queued_at: "2026-11-29T12:00:00Z" }, times);
    assert.deepEqual(shown.slice(0, 4).map(({ phase, state, took }) => [phase, state, took]), [
        ["queued", "done", 1], ["dispatched", "done", 2], ["accepted", "now", null], ["downloading", "next", null],
    ]);
});

test("a failed update ends where it failed", () => {
    const times = phaseTimes([item("update.dispatched", 1, of(1)), item("update.installing", 4, of(1)), item("update.failed", 9, of(1))], 1);
    const shown = steps({ phase: "failed", queued_at: "2026-11-29T12:00:00Z" }, times);
    assert.deepEqual(shown.map(({ phase, state }) => [phase, state]), [
        ["queued", "done"], ["dispatched", "done"], ["installing", "done"], ["failed", "end_bad"],
    ]);
});

test("a deferred update waits for its next attempt", () => {
    const shown = steps({ phase: "deferred", queued_at: "2026-11-29T12:00:00Z", phase_since: "2026-11-29T12:00:05Z" }, new Map());
    assert.deepEqual(shown.slice(0, 3).map(({ phase, state }) => [phase, state]), [["queued", "done"], ["deferred", "now"], ["dispatched", "next"]]);
    const running = clocks({ phase: "deferred", reached_at: null, wait_until: "2026-12-06T12:00:00Z", not_before: "2026-11-29T12:05:00Z" });
    assert.equal(running.length, 2);
    assert.deepEqual(clocks({ phase: "confirmed", wait_until: "2026-12-06T12:00:00Z" }), []);
    const working = clocks({ phase: "installing", reached_at: "2026-11-29T12:00:00Z", deadline_at: "2026-11-29T12:30:00Z", deadline_clock: "phase" });
    assert.deepEqual(working.map(clock => clock.until), ["2026-11-29T12:30:00Z"]);
    assert.deepEqual(clocks({ phase: "installing", reached_at: "x", deadline_at: "2026-11-29T12:30:00Z", deadline_clock: "wait" }), []);
});

test("the newest report that has the component proves its version", () => {
    const items = [
        item("device.versions_reported", 9, { boot_id: "c", versions: { modem: "2" } }),
        item("update.confirmed", 5, { boot_id: "b", component: "firmware", slot: "b" }),
        item("device.versions_reported", 1, { boot_id: "a" }),
    ];
    assert.equal(proofOf(items, "firmware")?.bootId, "b");
    assert.equal(proofOf(items, "modem")?.bootId, "c");
    assert.equal(proofOf(items, "radio")?.bootId, "a");
    assert.equal(proofOf([], "firmware"), null);
});
