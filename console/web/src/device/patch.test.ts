import assert from "node:assert/strict";
import { test } from "node:test";
import type { Device } from "../api/types.ts";
import { fields, patchOf, tagLines } from "./patch.ts";

const device = { name: "Roof", device_model: "X", owner: null, tags: { site: "berlin", url: "a:b" } } as unknown as Device;

test("an unchanged form changes nothing", () => {
    assert.deepEqual(patchOf(device, fields(device), tagLines(device.tags)), {});
});

test("only what differs is sent, and null clears", () => {
    const edited = { ...fields(device), name: "", owner: "o-1" };
    assert.deepEqual(patchOf(device, edited, "site: hamburg\nfloor: 2"), { name: null, owner: "o-1", tags: { url: null, site: "hamburg", floor: "2" } });
});
