import assert from "node:assert/strict";
import { test } from "node:test";
import { address } from "./address.ts";

test("ids are encoded, and lists are repeated", () => {
    const params = { path: { device_id: "a/b c", ordinal: 3 }, query: { tag: ["x:1", "y:2"], q: "a&b", limit: 5 } };
    assert.equal(address("/devices/{device_id}/updates/{ordinal}", { params }), "/api/v1/devices/a%2Fb%20c/updates/3?tag=x%3A1&tag=y%3A2&q=a%26b&limit=5");
});

test("what is missing is left out, and false and zero are values", () => {
    assert.equal(address("/devices", { params: { query: { cursor: undefined, q: null, count: false, wave: 0 } } }), "/api/v1/devices?count=false&wave=0");
    assert.equal(address("/devices", {}), "/api/v1/devices");
});

test("what is not below the API has its own base", () => {
    assert.equal(address("/health/detailed", { baseUrl: "/" }), "/health/detailed");
});
