import assert from "node:assert/strict";
import { test } from "node:test";
import { added, savedOf, worthSaving } from "./saved.ts";

test("what can't be read is nothing", () => {
    assert.deepEqual(savedOf(null), []);
    assert.deepEqual(savedOf("{broken"), []);
    assert.deepEqual(savedOf('[1, null, {"name": "a"}, {"name": "b", "query": "q=1", "x": 2}]').map(one => one.name), ["b"]);
});

test("a name is kept once, and the oldest makes room", () => {
    assert.deepEqual(added([{ name: "a", query: "1" }, { name: "b", query: "2" }], { name: "a", query: "3" }), [{ name: "b", query: "2" }, { name: "a", query: "3" }]);
    const many = Array.from({ length: 30 }, (_, n) => ({ name: String(n), query: "" }));
    assert.deepEqual([added(many, { name: "new", query: "" }).length, added(many, { name: "new", query: "" })[0]?.name], [30, "1"]);
});

test("the moment and the page of the list are not kept", () => {
    assert.equal(worthSaving(new URLSearchParams("status=offline&columns=state&cursor=x&at=2026-01-01T00:00:00Z&compare=now&tz=utc")), "status=offline&columns=state");
});
