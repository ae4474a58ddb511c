import assert from "node:assert/strict";
import { test } from "node:test";
import { later, part } from "./signature.ts";

const MANIFEST = '{"key":"bc6e8230","scheme":"waybill-manifest-v1","sig":"UmEk"}';

test("the part of an upload follows from the text of the signature", () => {
    assert.deepEqual(part(` ${MANIFEST}\n`), { name: "signature", text: MANIFEST });
    assert.equal(part("untrusted comment: signature from minisign\nRUQ…")?.name, "minisign");
    assert.equal(part('{"base64Signature":"x","cert":""}')?.name, "cosign_bundle");
    assert.equal(part('{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json"}')?.name, "cosign_bundle");
    assert.equal(part("UmEk"), null);
    assert.equal(part("[1]"), null);
});

test("a signature that comes later is one of a manifest or of cosign", () => {
    assert.deepEqual(later(MANIFEST), { scheme: "waybill-manifest-v1", sig: "UmEk", key: "bc6e8230" });
    assert.deepEqual(later('{"mediaType":"b"}'), { scheme: "cosign-bundle", sig: '{"mediaType":"b"}' });
    assert.match(later("untrusted comment: x") as string, /with the upload only/);
    assert.match(later("nothing") as string, /neither/);
});
