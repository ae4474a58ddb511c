import assert from "node:assert/strict";
import { test } from "node:test";
import { EMPTY, fieldOf, metadata, pace, tagsOf } from "./upload_form.ts";

test("an upload sends what was typed, and leaves out what is empty", () => {
    const sent = metadata({ ...EMPTY, name: " Frame ", version: "2.0.0", device_model: "A", hardware_versions: "r1, r2,", tags: "channel=beta" }, 10, "ab");
    assert.deepEqual(sent, {
        name: "Frame", version: "2.0.0", device_model: "A", update_type: "firmware", hardware_versions: ["r1", "r2"], tags: { channel: "beta" },
        is_beta: false, is_security_update: false, rollback_allowed: true, file_size: 10, checksum_sha256: "ab",
    });
    assert.equal("checksum_sha256" in metadata(EMPTY, 10, null), false);
});

test("tags are lines with a name and a value", () => {
    assert.deepEqual(tagsOf("a=1\n\n b = x=y \nc"), { a: "1", b: "x=y", c: "" });
});

test("errors of the service lead to fields of the form", () => {
    assert.equal(fieldOf("metadata.version"), "version");
    assert.equal(fieldOf("hardware_versions[1]"), "hardware_versions");
});

test("the pace of an upload is known after half a second", () => {
    assert.equal(pace(100, 200, 100), null);
    assert.deepEqual(pace(1_000, 3_000, 1_000), { rate: 1_000, left: 2 });
});
