import assert from "node:assert/strict";
import { test } from "node:test";
import { exportPath, filterOf, inputTime, recordOf, request, typedTime, typesOf } from "./filter.ts";

test("the filter is what the URL has, without empty parameters", () => {
    assert.deepEqual(filterOf(new URLSearchParams("?actor= user:1 &type=&x=1&order=asc")), { actor: "user:1", order: "asc" });
    assert.deepEqual(typesOf("a.b, c.d  e.f"), ["a.b", "c.d", "e.f"]);
});

test("a request takes the position of the record, and several types", () => {
    assert.equal(recordOf("17-42.3"), "17-42");
    assert.deepEqual(request({ type: "a.b,c.d", at_position: "17-42.3", order: "desc" }, null), { type: ["a.b", "c.d"], at_position: "17-42" });
});

test("a moment of the past leaves out later events", () => {
    const [early, late] = ["2026-01-01T00:00:00.000Z", "2026-02-01T00:00:00.000Z"];
    assert.equal(request({}, late).to, late);
    assert.equal(request({ to: early }, late).to, early);
    assert.equal(request({ to: late }, early).to, early);
    // As times, not as texts.
    assert.equal(request({ to: "2026-01-01T00:00:00Z" }, "2026-01-01T00:00:00.5Z").to, "2026-01-01T00:00:00Z");
});

test("the export has the same filter", () => {
    const path = exportPath({ actor: "user:a b", type: ["x.y", "z.w"] }, "csv");
    assert.equal(path, "/api/v1/audit/export?format=csv&actor=user%3Aa+b&type=x.y&type=z.w");
});

test("times are typed in the zone that is shown", () => {
    const time = "2026-01-01T12:00:00.000Z";
    assert.equal(inputTime(time, -60), "2026-01-01T13:00:00");
    assert.equal(typedTime("2026-01-01T13:00:00", -60), time);
    assert.equal(typedTime("nonsense", 0), null);
});
