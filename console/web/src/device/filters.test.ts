import assert from "node:assert/strict";
import { test } from "node:test";
import { filtersOf, listQuery, targetOf } from "./filters.ts";

test("only filters of the API are taken from the address", () => {
    const query = new URLSearchParams("q=sim&status=online&cursor=x&tab=y&device_model=");
    assert.deepEqual(filtersOf(query), { q: "sim", status: "online" });
});

test("tags are asked for one by one", () => {
    assert.deepEqual(listQuery({ tag: "site:berlin, floor:2", q: "a" }), { q: "a", tag: ["site:berlin", "floor:2"] });
});

test("a command reaches all devices of a group and of filters", () => {
    assert.deepEqual(targetOf({ group: "g-1", firmware_version: "<2.0.0", tag: "url:a:b" }, false), {
        group: "g-1",
        target_filters: { firmware_version: "<2.0.0", tags: { url: "a:b" } },
    });
});

test("filters that commands don't know are named", () => {
    assert.deepEqual(targetOf({ q: "sim", status: "online", group: "g-1" }, false), ["Id or name begins with", "Connection"]);
    assert.deepEqual(targetOf({ q: "sim", include: "deleted" }, true), ["Also show"]);
});

test("holds know more filters", () => {
    assert.deepEqual(targetOf({ q: "sim", status: "online", owner: "ann", device_model: "A" }, true), {
        q: "sim", status: "online", owner: "ann", target_filters: { device_model: "A" },
    });
});
