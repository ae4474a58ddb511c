import assert from "node:assert/strict";
import { test } from "node:test";
import { changes, inPlace } from "./steady.ts";

test("rows that have come, gone or moved are counted", () => {
    assert.equal(changes(["a", "b"], ["a", "b"]), 0);
    assert.equal(changes(["a", "b"], ["b", "a"]), 2);
    assert.equal(changes(["a", "b"], ["a"]), 1);
    assert.equal(changes(["a"], ["a", "b", "c"]), 2);
});

test("rows keep their places and show their newest data", () => {
    const known = new Map([["a", 1], ["b", 2], ["c", 3]]);
    assert.deepEqual(inPlace(["b", "a"], known), [2, 1]);
});
