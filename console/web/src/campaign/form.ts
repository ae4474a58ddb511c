/** What is typed for a campaign, and the request that it makes. Pure. */
import type { Campaign, CampaignRequest } from "../api/types.ts";
import { localText } from "../time/format.ts";

export type Targets = "all" | "filter" | "groups" | "devices";

/** The fields as texts, as they are typed. */
export interface Form {
    name: string;
    description: string;
    firmware_id: string;
    deployment_strategy: string;
    targets: Targets;
    device_type: string;
    device_model: string;
    hardware_version: string;
    firmware_version: string;
    tags: string;
    groups: string[];
    devices: string;
    waves: string;
    isManual: boolean;
    canary_percentage: string;
    soak_minutes: string;
    failure_threshold_percent: string;
    gate_min_settled: string;
    max_concurrent_updates: string;
    rate_per_minute: string;
    scheduled_start: string;
    window_days: string[];
    window_start: string;
    window_end: string;
    window_zone: string;
    auto_rollback: boolean;
    requires_approval: boolean;
    allow_downgrade: boolean;
}

export const EMPTY: Form = {
    name: "", description: "", firmware_id: "", deployment_strategy: "staged", targets: "all", device_type: "", device_model: "",
    hardware_version: "", firmware_version: "", tags: "", groups: [], devices: "", waves: "10, 50, 100", isManual: false,
    canary_percentage: "", soak_minutes: "", failure_threshold_percent: "", gate_min_settled: "", max_concurrent_updates: "",
    rate_per_minute: "", scheduled_start: "", window_days: [], window_start: "", window_end: "", window_zone: "UTC", auto_rollback: false,
    requires_approval: false, allow_downgrade: false,
};

/** Strategies whose waves are typed. */
export const WITH_WAVES = ["staged", "blue_green"];

const list = (text: string): string[] => text.split(/[\s,;]+/).filter(part => part !== "");
const number = (text: string): number | undefined => (text.trim() === "" ? undefined : Number(text));

/** `site=lab, floor=3` as an object. */
function pairs(text: string): Record<string, string> | undefined {
    const found = text.split(",").map(pair => pair.split("=")).filter(([name, ...rest]) => name?.trim() && rest.length > 0);
    return found.length === 0 ? undefined : Object.fromEntries(found.map(([name, ...rest]) => [(name ?? "").trim(), rest.join("=").trim()]));
}

/** An object without the members that have no value; none if nothing is left. */
function filled<T extends object>(object: T): T | undefined {
    const members = Object.entries(object).filter(([, value]) => value !== undefined && value !== "");
    return members.length === 0 ? undefined : (Object.fromEntries(members) as T);
}

function targets(form: Form): Partial<CampaignRequest> {
    switch (form.targets) {
        case "all":
            return { target_all: true };
        case "groups":
            return { target_groups: form.groups };
        case "devices":
            return { target_devices: list(form.devices) };
        case "filter": {
            const { device_type, device_model, hardware_version, firmware_version } = form;
            return { target_filters: filled({ device_type, device_model, hardware_version, firmware_version, tags: pairs(form.tags) }) };
        }
    }
}

function waves(form: Form): CampaignRequest["waves"] {
    if (!WITH_WAVES.includes(form.deployment_strategy)) return undefined;
    const given = list(form.waves).map(Number);
    if (given.length === 0) return undefined;
    return given.map(percentage => ({ percentage, advance: form.isManual ? "manual" : "auto" }));
}

function windows(form: Form): CampaignRequest["maintenance_window"] {
    if (form.window_start === "" || form.window_end === "") return undefined;
    return [{ days: form.window_days, start: form.window_start, end: form.window_end, timezone: form.window_zone }];
}

/** The request; what isn't typed is left out, so the service decides. */
export function request(form: Form): CampaignRequest {
    const { name, firmware_id, deployment_strategy } = form;
    const start = form.scheduled_start === "" ? undefined : new Date(form.scheduled_start).toISOString();
    const optional = {
        description: form.description,
        ...targets(form),
        waves: waves(form),
        canary_percentage: deployment_strategy === "canary" ? number(form.canary_percentage) : undefined,
        soak_minutes: number(form.soak_minutes),
        failure_threshold_percent: number(form.failure_threshold_percent),
        gate_min_settled: number(form.gate_min_settled),
        max_concurrent_updates: number(form.max_concurrent_updates),
        rate_per_minute: number(form.rate_per_minute),
        scheduled_start: start,
        maintenance_window: windows(form),
        auto_rollback: form.auto_rollback || undefined,
        requires_approval: form.requires_approval || undefined,
        allow_downgrade: form.allow_downgrade || undefined,
    };
    return { name, firmware_id, deployment_strategy, ...filled(optional) } as CampaignRequest;
}

/** What is missing before a preview can be asked for; null if nothing is. */
export function missing(form: Form): string | null {
    if (form.firmware_id === "") return "Choose a firmware.";
    if (form.targets === "groups" && form.groups.length === 0) return "Choose a group.";
    if (form.targets === "devices" && list(form.devices).length === 0) return "Name a device.";
    if (form.targets === "filter" && targets(form).target_filters === undefined) return "Fill in at least one property.";
    const given = WITH_WAVES.includes(form.deployment_strategy) ? list(form.waves).map(Number) : [100];
    const isRising = given.every((percentage, n) => Number.isInteger(percentage) && percentage > (given[n - 1] ?? 0));
    return isRising && given.at(-1) === 100 ? null : "Waves rise, and the last is 100.";
}

/** The form of a campaign that exists. */
export function formOf(campaign: Campaign): Form {
    const text = (value: unknown): string => (value === null || value === undefined ? "" : String(value));
    const filter = campaign.target_filters;
    const window = campaign.maintenance_window?.[0];
    const kind: Targets = campaign.target_all ? "all" : filter ? "filter" : campaign.target_groups?.length ? "groups" : "devices";
    return {
        ...EMPTY,
        name: text(campaign.name),
        description: text(campaign.description),
        firmware_id: campaign.firmware_id,
        deployment_strategy: campaign.deployment_strategy,
        targets: kind,
        device_type: text(filter?.device_type),
        device_model: text(filter?.device_model),
        hardware_version: text(filter?.hardware_version),
        firmware_version: text(filter?.firmware_version),
        tags: Object.entries(filter?.tags ?? {}).map(([name, value]) => `${name}=${value}`).join(", "),
        groups: campaign.target_groups ?? [],
        devices: (campaign.target_devices ?? []).join("\n"),
        waves: campaign.waves.map(wave => wave.percentage).join(", "),
        isManual: campaign.waves.some(wave => wave.advance === "manual"),
        canary_percentage: campaign.deployment_strategy === "canary" && campaign.canary_size == null ? text(campaign.waves[0]?.percentage) : "",
        soak_minutes: text(campaign.soak_minutes),
        failure_threshold_percent: text(campaign.failure_threshold_percent),
        gate_min_settled: text(campaign.gate_min_settled),
        max_concurrent_updates: text(campaign.max_concurrent_updates),
        rate_per_minute: text(campaign.rate_per_minute),
        scheduled_start: campaign.scheduled_start ? localText(Date.parse(campaign.scheduled_start)).slice(0, 16) : "",
        window_days: window?.days ?? [],
        window_start: text(window?.start),
        window_end: text(window?.end),
        window_zone: window?.timezone ?? "UTC",
        auto_rollback: campaign.auto_rollback,
        requires_approval: campaign.requires_approval ?? false,
        allow_downgrade: campaign.allow_downgrade,
    };
}
