import assert from "node:assert/strict";
import { test } from "node:test";
import { numericNames, series, windows, withGaps } from "./series.ts";

test("only numbers are plotted", () => {
    assert.deepEqual(numericNames({ t: { value: 1.5 }, note: { value: "x" }, a: { value: 0 } }), ["a", "t"]);
});

test("a message without a value leaves a gap", () => {
    const items = [{ at: "1970-01-01T00:00:01Z", data: { t: 1 } }, { at: "1970-01-01T00:00:02Z", data: { t: "x" } }, { at: "1970-01-01T00:00:03Z", data: { t: 3 } }];
    assert.deepEqual(series(items, ["t"]), [[1_000, 2_000, 3_000], [1, null, 3]]);
});

test("no line is drawn over a gap", () => {
    assert.deepEqual(withGaps([0, 10, 20, 30, 130], [[1, 2, 3, 4, 5]]), [[0, 10, 20, 30, 80, 130], [[1, 2, 3, 4, null, 5]]]);
    assert.deepEqual(withGaps([7], [[1]]), [[7], [[1]]]);
});

test("a time is cut into equal parts", () => {
    assert.deepEqual(windows(0, 2_000, 2), [
        { from: "1970-01-01T00:00:00.000Z", to: "1970-01-01T00:00:01.000Z" }, { from: "1970-01-01T00:00:01.000Z", to: "1970-01-01T00:00:02.000Z" },
    ]);
});
