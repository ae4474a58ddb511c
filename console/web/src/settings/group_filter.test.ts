import assert from "node:assert/strict";
import { test } from "node:test";
import { filterOf, sayFilter, textsOf } from "./group_filter.ts";

test("a filter is what was typed, and back", () => {
    const filter = { device_model: "A", firmware_version: "<2.0.0", tags: { hall: "3" } };
    assert.deepEqual(filterOf(textsOf(filter)), filter);
    assert.deepEqual(filterOf(textsOf(null)), {});
});

test("a filter is said in words", () => {
    assert.equal(sayFilter({ device_model: "A", firmware_version: "<2.0.0", tags: { hall: "3" } }), "model A, runs <2.0.0, hall=3");
    assert.equal(sayFilter({}), "all devices");
});
