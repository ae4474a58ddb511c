import assert from "node:assert/strict";
import { test } from "node:test";
import type { Campaign } from "../api/types.ts";
import { changeOf, originalOfCopy } from "./change.ts";
import { formOf } from "./form.ts";

const DRAFT = {
    campaign_id: "c", status: "draft", version: 3, name: "Q4", firmware_id: "f", deployment_strategy: "staged",
    target_all: false, target_groups: ["lab"], target_devices: ["d-1"],
    waves: [{ percentage: 5, name: "lab", soak_minutes: 60, advance: "manual" }, { percentage: 100, advance: "auto" }],
    scheduled_start: "2026-12-01T02:00:07Z", ends_at: "2026-12-08T00:00:00Z", preconditions: { min_battery_percent: 40 },
    maintenance_window: [{ days: ["monday"], start: "01:00", end: "02:00", timezone: "UTC" }, { days: ["sunday"], start: "03:00", end: "04:00", timezone: "UTC" }],
    max_retries: 1, failure_threshold_percent: 20, gate_min_settled: 10, max_concurrent_updates: 100, auto_rollback: true, allow_downgrade: false,
} as unknown as Campaign;

test("a change of one field keeps the fields that the form does not show", () => {
    const { campaign_id, status, version, target_all, allow_downgrade, ...wanted } = DRAFT;
    assert.deepEqual(changeOf(DRAFT, { ...formOf(DRAFT), description: "for the auditors" }), { ...wanted, description: "for the auditors" });
});

test("a field that was emptied is left out", () => {
    const changed = changeOf(DRAFT, { ...formOf(DRAFT), scheduled_start: "", auto_rollback: false, window_start: "" });
    assert.deepEqual([changed.scheduled_start, changed.auto_rollback, changed.maintenance_window], [undefined, undefined, undefined]);
    assert.deepEqual(changed.preconditions, DRAFT.preconditions);
});

test("other targets replace all targets", () => {
    const changed = changeOf(DRAFT, { ...formOf(DRAFT), targets: "all" });
    assert.deepEqual([changed.target_all, changed.target_groups, changed.target_devices], [true, undefined, undefined]);
});

test("another strategy leaves out what belongs to the one before", () => {
    assert.equal(changeOf(DRAFT, { ...formOf(DRAFT), deployment_strategy: "immediate" }).waves, undefined);
    const canary = { ...DRAFT, deployment_strategy: "canary", canary_size: 7, waves: [{ percentage: 1 }, { percentage: 100 }] } as unknown as Campaign;
    assert.equal(changeOf(canary, formOf(canary)).canary_size, 7);
    const sized = changeOf(canary, { ...formOf(canary), canary_percentage: "3" });
    assert.deepEqual([sized.canary_size, sized.canary_percentage, sized.waves], [undefined, 3, undefined]);
});

test("a canary keeps its share", () => {
    const canary = { ...DRAFT, deployment_strategy: "canary", waves: [{ percentage: 3 }, { percentage: 100 }] } as unknown as Campaign;
    assert.equal(changeOf(canary, formOf(canary)).canary_percentage, 3);
});

test("a default end is not made a fixed one", () => {
    assert.equal(changeOf({ ...DRAFT, ends_after_days: 30 } as Campaign, formOf(DRAFT)).ends_at, undefined);
});

test("a copy has no times of its own", () => {
    const original = originalOfCopy(DRAFT);
    const copied = changeOf(original, formOf(original));
    assert.deepEqual([copied.scheduled_start, copied.ends_at, copied.max_retries], [undefined, undefined, 1]);
});
