import assert from "node:assert/strict";
import { test } from "node:test";
import { formOf, requestOf } from "./chirpstack_form.ts";

test("secrets that aren't typed are left out, so that they stay", () => {
    const form = formOf({ url: "https://cs:8080", chirpstack_tenant_id: "t", auto_import: ["a", "b"], webhook_header: "X-Secret", mqtt: { url: "mqtt://b", event_topic: "t/#" } });
    const sent = requestOf(form);
    assert.deepEqual(sent, {
        url: "https://cs:8080", chirpstack_tenant_id: "t", auto_import: ["a", "b"], webhook_header: "X-Secret", mqtt: { url: "mqtt://b", event_topic: "t/#" },
    });
    assert.equal(requestOf({ ...form, api_key: "k" }).api_key, "k");
    assert.equal("mqtt" in requestOf({ ...form, mqtt_url: "" }), false);
});
