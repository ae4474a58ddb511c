import assert from "node:assert/strict";
import { test } from "node:test";
import { sayDeviceEvent } from "./event.ts";

test("events say what happened, with what they know", () => {
    assert.equal(sayDeviceEvent("device.versions_reported", { boot_id: "b1", versions: { firmware: "2.0.0" }, trial: true }), "Reported firmware 2.0.0 after boot b1, on trial");
    assert.equal(sayDeviceEvent("device.versions_reported", {}), "Reported the same versions");
    assert.equal(sayDeviceEvent("update.queued", { spec: { firmware: { version: "2.1.0" } } }), "An update to 2.1.0 was queued");
    assert.equal(sayDeviceEvent("update.failed", { code: "install_failed" }), "The update failed: install failed");
});

test("events that aren't known or can't be read have no sentence of their own", () => {
    assert.equal(sayDeviceEvent("device.network_synced", {}), null);
    assert.equal(sayDeviceEvent("update.failed", null), null);
});
