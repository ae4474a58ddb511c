import assert from "node:assert/strict";
import { test } from "node:test";
import { numericNames, series } from "./series.ts";

test("only numbers are plotted", () => {
    assert.deepEqual(numericNames({ t: { value: 1.5 }, note: { value: "x" }, a: { value: 0 } }), ["a", "t"]);
});

test("a message without a value leaves a gap", () => {
    const items = [{ at: "1970-01-01T00:00:01Z", data: { t: 1 } }, { at: "1970-01-01T00:00:02Z", data: { t: "x" } }, { at: "1970-01-01T00:00:03Z", data: { t: 3 } }];
    assert.deepEqual(series(items, ["t"]), [[1_000, 2_000, 3_000], [1, null, 3]]);
});
