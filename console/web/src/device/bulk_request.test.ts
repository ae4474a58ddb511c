import assert from "node:assert/strict";
import { test } from "node:test";
import { bulkRequest, forecastRequest, joined, outcomeOf } from "./bulk_request.ts";

const nothing = { firmware: "", group: "", until: "" };

test("an update of many devices needs a firmware", () => {
    assert.equal(bulkRequest("update", { ids: ["a"] }, nothing), null);
    assert.deepEqual(bulkRequest("update", { target: { group: "g" } }, { ...nothing, firmware: "f" })?.body, { firmware_id: "f", group: "g" });
});

test("an update by filters is forecast as the campaign that it makes", () => {
    const chosen = { target: { group: "g", target_filters: { device_model: "X" } } };
    const command = bulkRequest("update", chosen, { ...nothing, firmware: "f" });
    assert.ok(command);
    assert.deepEqual(forecastRequest("update", chosen, command), {
        isDryRun: false,
        command: {
            method: "POST", path: "/campaigns/preview",
            body: { name: "Forecast", firmware_id: "f", deployment_strategy: "immediate", target_groups: ["g"], target_filters: { device_model: "X" } },
        },
    });
    assert.equal(forecastRequest("hold", chosen, command).isDryRun, true);
});

test("only devices by id become members of a group", () => {
    assert.equal(bulkRequest("add", { target: {} }, { ...nothing, group: "g" }), null);
    assert.deepEqual(bulkRequest("remove", { ids: ["a", "b"] }, { ...nothing, group: "g/1" }), {
        method: "DELETE", path: "/groups/g%2F1/members", body: { device_ids: ["a", "b"] },
    });
});

test("the outcomes of all pages are counted together", () => {
    const first = outcomeOf({ succeeded: 2, changed: 1, failed: 1, items: [{ id: "a" }, { id: "b", error: { detail: "held" } }], next_after: "b" });
    assert.deepEqual(first.failed, [{ id: "b", why: "held" }]);
    const both = joined(first, outcomeOf({ succeeded: 3, changed: 3, failed: 0, items: [], next_after: null }));
    assert.deepEqual([both.succeeded, both.changed, both.failedCount, both.nextAfter], [5, 4, 1, null]);
});
