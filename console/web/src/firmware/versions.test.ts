import assert from "node:assert/strict";
import { test } from "node:test";
import { changes, momentsUntil, series, shares, UNKNOWN } from "./versions.ts";

test("shares are those of one model, the most first", () => {
    const groups = [
        { version: "1.0.0", device_model: "A", devices: 2 },
        { version: "2.0.0", device_model: "A", devices: 5 },
        { version: null, device_model: "A", devices: 1 },
        { version: "2.0.0", device_model: "B", devices: 9 },
    ];
    assert.deepEqual(shares(groups, "A"), [
        { version: "2.0.0", devices: 5 },
        { version: "1.0.0", devices: 2 },
        { version: UNKNOWN, devices: 1 },
    ]);
});

test("moments are whole minutes and end at the end", () => {
    const end = Date.parse("2026-01-01T12:00:30Z");
    const found = momentsUntil(end, 3_600, 3).map(time => new Date(time).toISOString());
    assert.deepEqual(found, ["2026-01-01T11:00:00.000Z", "2026-01-01T11:30:00.000Z", "2026-01-01T12:00:00.000Z"]);
});

test("the firmware's own version is the first series, also with no device", () => {
    const points = [[{ version: "1", devices: 5 }], [{ version: "1", devices: 3 }, { version: "2", devices: 2 }]];
    assert.deepEqual(series(points, "3", 2), [{ version: "3", values: [0, 0] }, { version: "1", values: [5, 3] }]);
    assert.deepEqual(series(points, "2", 3).map(one => one.version), ["2", "1"]);
});

test("versions at two moments are compared, those of now first", () => {
    const share = (version: string, devices: number) => ({ version, devices });
    assert.deepEqual(changes([share("1", 9), share("0", 1)], [share("2", 6), share("1", 4)]), [
        { version: "2", then: 0, now: 6 },
        { version: "1", then: 9, now: 4 },
        { version: "0", then: 1, now: 0 },
    ]);
});
