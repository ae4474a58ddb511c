import assert from "node:assert/strict";
import { test } from "node:test";
import { ofKinds } from "./kinds.ts";

const items = ["update.failed", "update.confirmed", "device.came_online", "device.versions_reported", "command.failed", "device.credential_issued"].map(type => ({ type }));
const types = (...chosen: string[]): string[] => ofKinds(items, chosen).map(item => item.type);

test("without a choice all events are shown", () => {
    assert.equal(types().length, items.length);
});

test("kinds add up, and failures narrow them", () => {
    assert.deepEqual(types("updates", "access"), ["update.failed", "update.confirmed", "device.credential_issued"]);
    assert.deepEqual(types("updates", "failures"), ["update.failed"]);
    assert.deepEqual(types("failures"), ["update.failed", "command.failed"]);
    assert.deepEqual(types("versions"), ["device.versions_reported"]);
});
