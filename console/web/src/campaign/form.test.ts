import assert from "node:assert/strict";
import { test } from "node:test";
import type { Campaign } from "../api/types.ts";
import { cli, curl, quoted } from "./as_command.ts";
import { EMPTY, formOf, missing, request } from "./form.ts";
import { whatIfRequest } from "./what_if_request.ts";

const BASIC = { ...EMPTY, name: "Q4", firmware_id: "f" };

test("what isn't typed is left out", () => {
    const waves = [10, 50, 100].map(percentage => ({ percentage, advance: "auto" }));
    assert.deepEqual(request(BASIC), { name: "Q4", firmware_id: "f", deployment_strategy: "staged", target_all: true, waves });
    assert.equal(request({ ...BASIC, deployment_strategy: "immediate" }).waves, undefined);
});

test("a filter has the fields that are typed, and tags in pairs", () => {
    const form = { ...BASIC, targets: "filter" as const, device_model: "SF", tags: "site=lab, note=a=b,broken" };
    assert.deepEqual(request(form).target_filters, { device_model: "SF", tags: { site: "lab", note: "a=b" } });
    assert.equal(request({ ...BASIC, targets: "filter" }).target_filters, undefined);
});

test("devices are separated by anything", () => {
    assert.deepEqual(request({ ...BASIC, targets: "devices", devices: "a, b\n c;d\n" }).target_devices, ["a", "b", "c", "d"]);
});

test("a campaign makes the same request again", () => {
    const form = { ...BASIC, targets: "filter" as const, device_model: "SF", soak_minutes: "5", isManual: true, auto_rollback: true };
    const made = request(form);
    const again = request(formOf({ ...made, auto_rollback: true, allow_downgrade: false } as unknown as Campaign));
    assert.deepEqual(again, made);
});

test("a command line has each field as one word", () => {
    const made = request({ ...BASIC, name: "it's", targets: "filter", device_model: "SF 1", tags: "site=lab" });
    assert.match(cli(made), /--name 'it'\\''s' /);
    assert.match(cli(made), /--target-filters 'device_model=SF 1'/);
    assert.match(cli(made), /--target-filters tags\.site=lab/);
    assert.match(cli(request(BASIC)), /--target-all=true/);
    assert.match(curl(made, "http://h"), /^curl -X POST http:\/\/h\/api\/v1\/campaigns /);
    assert.equal(quoted("$(rm)"), "'$(rm)'");
});

test("a what-if names only what is typed", () => {
    const asked = whatIfRequest({ failure: "10", settled: "", success: "", waves: "25, 100", concurrency: "" });
    const waves = [{ percentage: 25 }, { percentage: 100 }];
    assert.deepEqual(JSON.parse(JSON.stringify(asked)), { gates: { failure_threshold_percent: 10 }, waves });
});

test("a preview waits for what is missing", () => {
    assert.equal(missing(BASIC), null);
    assert.equal(missing({ ...BASIC, firmware_id: "" }), "Choose a firmware.");
    assert.equal(missing({ ...BASIC, targets: "devices", devices: " , " }), "Name a device.");
    assert.equal(missing({ ...BASIC, targets: "filter" }), "Fill in at least one property.");
    for (const waves of ["", "25, 10", "10, 50", "10, 10, 100", "a, 100"]) {
        assert.equal(missing({ ...BASIC, waves }), "Waves rise, and the last is 100.", waves);
    }
    assert.equal(missing({ ...BASIC, waves: "", deployment_strategy: "immediate" }), null);
});
