/** The request that changes or copies a campaign. A `PUT` replaces everything, and the form shows only a part. Pure. */
import type { Campaign, CampaignRequest } from "../api/types.ts";
import { type Form, formOf, request, WITH_WAVES } from "./form.ts";

type Name = Exclude<keyof CampaignRequest, "reason">;

/** All fields of a request; the compiler asks for new ones. */
const FIELDS: Record<Name, true> = {
    allow_downgrade: true, auto_rollback: true, batch_size: true, canary_percentage: true, canary_size: true, deployment_strategy: true,
    description: true, ends_at: true, failure_count: true, failure_threshold_percent: true, firmware_id: true, force_update: true,
    gate_min_settled: true, jitter_seconds: true, lorawan: true, maintenance_window: true, max_concurrent_updates: true, max_retries: true,
    min_reached_percent: true, name: true, preconditions: true, priority: true, rate_per_minute: true, require_digest_report: true,
    requires_approval: true, rollout_percentage: true, sample_seed: true, scheduled_start: true, soak_minutes: true,
    success_threshold_percent: true, target_all: true, target_devices: true, target_filters: true, target_groups: true,
    timeout_minutes: true, wait_for_device_minutes: true, wave_wait_minutes: true, waves: true,
};
const NAMES = Object.keys(FIELDS) as Name[];
/** Which devices: changed together or not at all. */
const TARGETS = NAMES.filter(name => name.startsWith("target_"));

/** What was typed differently, and all else as the campaign has it, also what the form doesn't show. */
export function changeOf(campaign: Campaign, form: Form): CampaignRequest {
    const [before, after] = [request(formOf(campaign)), request(form)];
    const kept: Partial<Record<Name, unknown>> = { ...campaign, ends_at: campaign.ends_after_days == null ? campaign.ends_at : undefined };
    const isTyped = (name: Name): boolean => JSON.stringify(before[name]) !== JSON.stringify(after[name]);
    const areTargetsTyped = TARGETS.some(isTyped);
    const value = (name: Name): unknown =>
        (TARGETS.includes(name) ? areTargetsTyped : isTyped(name)) ? after[name] : (kept[name] ?? after[name]);
    const isCanary = after.deployment_strategy === "canary";
    const left = new Set<Name>([
        ...(WITH_WAVES.includes(after.deployment_strategy) ? [] : ["waves" as const]),
        ...(isCanary ? [] : ["canary_percentage" as const, "canary_size" as const]),
        ...(isCanary && after.canary_percentage !== undefined ? ["canary_size" as const] : []),
    ]);
    const fields = NAMES.filter(name => !left.has(name)).map(name => [name, value(name)] as const);
    // Without a value, and false: as the service has it by default.
    return Object.fromEntries(fields.filter(([, value]) => value !== undefined && value !== null && value !== false)) as unknown as CampaignRequest;
}

/** What a copy begins with: the campaign without its times, which may have passed. */
export function originalOfCopy(campaign: Campaign): Campaign {
    return { ...campaign, scheduled_start: null, ends_at: null };
}
