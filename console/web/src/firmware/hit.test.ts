import assert from "node:assert/strict";
import { test } from "node:test";
import { allowedFor, hit } from "./hit.ts";

test("updates before the installation end, later ones run on", () => {
    const found = hit([["queued", 3], ["downloading", 2], ["installing", 4], ["rebooting", 0]]);
    assert.deepEqual([found.cancelled, found.running], [5, 4]);
    assert.deepEqual(found.phases, [["queued", 3], ["downloading", 2], ["installing", 4]]);
});

test("what can be done with a firmware follows from its state", () => {
    const need = { devices: 2, campaigns: [], more: false };
    assert.deepEqual(allowedFor({ status: "active" }, true), ["deprecate", "withdraw", "delete"]);
    assert.deepEqual(allowedFor({ status: "active", needed_for_rollback: need }, true), ["deprecate", "withdraw", "force_delete"]);
    assert.deepEqual(allowedFor({ status: "withdrawn", needed_for_rollback: need }, true), ["delete"]);
    assert.deepEqual(allowedFor({ status: "deprecated" }, false), ["withdraw"]);
    assert.deepEqual(allowedFor({ status: "deleted" }, true), []);
});
