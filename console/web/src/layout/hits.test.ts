import assert from "node:assert/strict";
import { test } from "node:test";
import { exactHit, type Hit, jumpOf } from "./hits.ts";

const hit = (kind: string, id: string, matched = "id", name: string | null = null): Hit => ({ kind, id, matched, name });

test("each kind has its page", () => {
    assert.equal(jumpOf(hit("device", "a/b"))?.path, "/devices/a%2Fb");
    assert.deepEqual(jumpOf(hit("update", "d~1~17")), {
        title: "d~1~17", detail: undefined, group: "Updates", path: "/devices/d~1", parameters: { tab: "Updates", update: "17" },
    });
    assert.deepEqual(jumpOf(hit("event", "17-4.1", "position", "device.registered"))?.parameters, { record: "17-4.1" });
    assert.equal(jumpOf(hit("campaign", "c-1", "name", "Spring"))?.title, "Spring");
    assert.equal(jumpOf(hit("device", "d-1", "name", "Lobby"))?.title, "d-1 Lobby");
    assert.equal(jumpOf(hit("unheard-of", "1")), null);
});

test("one exact hit is found among those that only begin with the text", () => {
    const hits = [hit("device", "d-1"), hit("device", "d-10"), hit("firmware", "f", "version", "d-1")];
    assert.equal(exactHit(hits, "D-1")?.id, "d-1");
    assert.equal(exactHit([hit("firmware", "f", "digest")], "deadbeef")?.id, "f");
    assert.equal(exactHit([hit("campaign", "c", "name", "Spring")], "spring")?.id, "c");
    assert.equal(exactHit([hit("campaign", "c", "name", "Spring 2")], "spring"), null);
});

test("two exact hits are none", () => {
    assert.equal(exactHit([hit("device", "1"), hit("group", "1")], "1"), null);
});
