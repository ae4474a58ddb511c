import assert from "node:assert/strict";
import { test } from "node:test";
import type { Gate } from "../api/types.ts";
import { latestGates } from "./gates.ts";

const gate = (name: string, wave: number | null, verdict: string): Gate => ({ gate: name, wave, verdict }) as Gate;

test("a closed gate stays beside what is measured now, and others show their last result", () => {
    const recorded = [gate("success", 1, "passed"), gate("success", 1, "held"), gate("failure", 2, "closed")];
    const now = [gate("failure", null, "passed"), gate("failure", 2, "passed"), gate("success", 1, "passed")];
    const shown = latestGates(recorded, now).map(one => `${one.wave} ${one.gate} ${one.verdict}`);
    assert.deepEqual(shown, ["1 success held", "2 failure closed", "2 failure passed", "null failure passed"]);
});
