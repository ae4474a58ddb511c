import assert from "node:assert/strict";
import { test } from "node:test";
import type { Device } from "../api/types.ts";
import { deviceSentence, sayCode, sayWait } from "./sentence.ts";

const device = (changes: object = {}): Device =>
    ({ lifecycle: "active", held: false, versions: { firmware: "1.0.0" }, current_update: null, waiting_updates: [], ...changes }) as unknown as Device;
const update = { version: "2.1.0", phase: "downloading", progress: 40, kind: "update", component: "firmware" };

test("a device says what it runs and what happens to it", () => {
    assert.equal(deviceSentence(device(), undefined), "It runs firmware 1.0.0.");
    assert.equal(deviceSentence(device(), update), "It runs firmware 1.0.0. An update to 2.1.0 is downloading (40\u00a0%).");
    assert.equal(deviceSentence(device({ held: true, versions: {} }), undefined), "What it runs is not known. It is held: no update reaches it.");
    assert.equal(deviceSentence(device({ current_update: { ordinal: 1, update_id: "d~1" } }), undefined), "It runs firmware 1.0.0. An update is under way.");
});

test("an update that failed doesn't look like success", () => {
    const failed = { kind: "update", version: "2.1.0", phase: "failed", code: "install_failed" };
    assert.equal(deviceSentence(device(), undefined, failed), "It runs firmware 1.0.0. Its latest update, to 2.1.0, failed: install failed.");
});

test("waits and codes are sentences, also those that aren't known", () => {
    assert.equal(sayWait("slot"), "Waits for its turn in the campaign.");
    assert.equal(sayWait("full_moon"), "Waits: full moon.");
    assert.equal(sayCode("x_silent"), "The device fell silent");
    assert.equal(sayCode("x_flash_worn"), "flash worn");
});
