import assert from "node:assert/strict";
import { test } from "node:test";
import { edits } from "./edits.ts";

const item = (type: string, event: object, position = "1-1") => ({ type, event, position, stored_at: "2026-01-01T00:00:00Z" });

test("each edit shows what it has changed, the newest first", () => {
    const found = edits([
        item("campaign.created", { spec: { soak_minutes: 5, rate_per_minute: 10 } }),
        item("campaign.amended", { spec: { soak_minutes: 7, rate_per_minute: 10 } }, "1-2"),
        item("campaign.wave_opened", { wave: 1 }),
        item("campaign.adjusted", { changes: { rate_per_minute: null, max_concurrent_updates: 3 } }, "1-4"),
    ]);
    assert.deepEqual(found.map(edit => edit.item.position), ["1-4", "1-2"]);
    assert.deepEqual(found[0]?.found, [{ name: "max_concurrent_updates", then: null, now: 3 }, { name: "rate_per_minute", then: 10, now: null }]);
    assert.deepEqual(found[1]?.found, [{ name: "soak_minutes", then: 5, now: 7 }]);
});

test("an edit whose campaign isn't known is a beginning, and events of another shape are left out", () => {
    assert.deepEqual(edits([item("campaign.amended", { spec: { a: 1 } }), item("campaign.adjusted", {})]), []);
});
