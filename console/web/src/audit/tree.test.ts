import assert from "node:assert/strict";
import { test } from "node:test";
import { tree } from "./tree.ts";

const item = (position: string, causation_position: string | null = null) => ({ position, causation_position });

test("each record comes after its cause, with its events together", () => {
    const rows = tree([item("1-1.0"), item("1-1.1"), item("1-2.0", "1-1"), item("1-3.0", "1-1"), item("1-4.0", "1-2")]);
    assert.deepEqual(rows.map(row => [row.position, row.cause, row.depth, row.events.length]), [
        ["1-1", null, 0, 2],
        ["1-2", "1-1", 1, 1],
        ["1-4", "1-2", 1, 1],
        ["1-3", "1-1", 1, 1],
    ]);
});

test("a chain without branches is not indented", () => {
    const rows = tree([item("1-1"), item("1-2", "1-1"), item("1-3", "1-2")]);
    assert.deepEqual(rows.map(row => row.depth), [0, 0, 0]);
});

test("a record whose cause isn't shown is a beginning", () => {
    assert.deepEqual(tree([item("1-5", "1-1"), item("1-6", "1-5")]).map(row => row.cause), [null, "1-5"]);
});

test("a long chain needs no deep stack", () => {
    const items = Array.from({ length: 20_000 }, (_, n) => item(`1-${n + 1}`, n === 0 ? null : `1-${n}`));
    assert.equal(tree(items).length, 20_000);
});
