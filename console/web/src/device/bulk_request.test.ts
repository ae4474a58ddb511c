import assert from "node:assert/strict";
import { test } from "node:test";
import { bulkRequest, joined, outcomeOf } from "./bulk_request.ts";

const nothing = { firmware: "", group: "", until: "" };

test("an update of many devices needs a firmware", () => {
    assert.equal(bulkRequest("update", { ids: ["a"] }, nothing), null);
    assert.deepEqual(bulkRequest("update", { target: { group: "g" } }, { ...nothing, firmware: "f" })?.body, { firmware_id: "f", group: "g" });
});

test("only devices by id become members of a group", () => {
    assert.equal(bulkRequest("add", { target: {} }, { ...nothing, group: "g" }), null);
    assert.deepEqual(bulkRequest("remove", { ids: ["a", "b"] }, { ...nothing, group: "g/1" }), {
        method: "DELETE", path: "/groups/g%2F1/members", body: { device_ids: ["a", "b"] },
    });
});

test("the outcomes of all pages are counted together", () => {
    const first = outcomeOf({ succeeded: 2, failed: 1, items: [{ id: "a" }, { id: "b", error: { detail: "held" } }], next_after: "b" });
    assert.deepEqual(first.failed, [{ id: "b", why: "held" }]);
    const both = joined(first, outcomeOf({ succeeded: 3, failed: 0, items: [], next_after: null }));
    assert.deepEqual([both.succeeded, both.failedCount, both.nextAfter], [5, 1, null]);
});
