import assert from "node:assert/strict";
import { test } from "node:test";
import { match, withQuery } from "./match.ts";

const ROUTES = [
    { pattern: "/", page: "now" },
    { pattern: "/campaigns/new", page: "new" },
    { pattern: "/campaigns/:id", page: "campaign" },
    { pattern: "/devices/:id", page: "device" },
];

test("the first pattern that fits counts, and ids are decoded", () => {
    assert.equal(match(ROUTES, "/")?.page, "now");
    assert.equal(match(ROUTES, "/campaigns/new")?.page, "new");
    assert.deepEqual(match(ROUTES, "/devices/a%2Fb%20c")?.params, { id: "a/b c" });
    assert.deepEqual(match(ROUTES, "/campaigns/1/")?.params, { id: "1" });
    assert.equal(match(ROUTES, "/campaigns/1/2"), null);
    assert.equal(match(ROUTES, "/devices/%E0%A4%A"), null);
});

test("parameters are changed one by one", () => {
    assert.equal(withQuery("?a=1&b=2", { a: null, c: "x y" }), "?b=2&c=x+y");
    assert.equal(withQuery("?a=1", { a: "" }), "");
});
