import assert from "node:assert/strict";
import { test } from "node:test";
import { changed, listOf, quota, sayGrant } from "./rules.ts";

test("only changed rules are sent", () => {
    assert.deepEqual(changed({ require_reason: false, require_signatures: 0 }, { require_reason: true, require_signatures: 0 }), { require_reason: true });
});

test("an empty quota is none", () => {
    assert.deepEqual(quota(" "), { value: null });
    assert.deepEqual(quota("100000"), { value: 100_000 });
    assert.equal(quota("-1"), null);
    assert.equal(quota("a lot"), null);
});

test("a grant says for what it is", () => {
    assert.equal(sayGrant({ role: "viewer" }), "viewer of the whole tenant");
    assert.equal(sayGrant({ role: "operator", groups: ["lobby", "roof"], own: true }), "operator of devices of lobby, roof and own devices");
});

test("ids are separated by commas, spaces or lines", () => {
    assert.deepEqual(listOf("d-1, d-2\nd-3  "), ["d-1", "d-2", "d-3"]);
});
