import assert from "node:assert/strict";
import { test } from "node:test";
import { jumps } from "./jump.ts";

test("a copied text leads to what it names", () => {
    const first = (text: string) => jumps(text)[0];
    assert.deepEqual(jumps("  "), []);
    assert.equal(first("1795976361006-1002.1")?.path, "/audit");
    assert.equal(first("a".repeat(64))?.parameters?.sha256, "a".repeat(64));
    assert.equal(first("01a22889-fbd1-72fd-bac3-322eb26e3a4e")?.path, "/campaigns/01a22889-fbd1-72fd-bac3-322eb26e3a4e");
    assert.deepEqual(first("d/1~17"), { title: "Update d/1~17", path: "/devices/d%2F1", parameters: { tab: "Updates" } });
    assert.equal(first("lobby 1")?.path, "/devices/lobby%201");
});
