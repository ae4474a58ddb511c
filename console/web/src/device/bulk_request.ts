/** Commands for many devices. Pure. */
import type { Command } from "../api/send.ts";
import type { Target } from "./filters.ts";

/** Which devices: some by id, or all that match. */
export type Chosen = { ids: readonly string[] } | { target: Target };

export type Bulk = "update" | "hold" | "release" | "add" | "remove";

/** Most devices by id that one command takes. */
export const IDS_MAX: Record<Bulk, number> = { update: 1_000, hold: 10_000, release: 10_000, add: 10_000, remove: 10_000 };

export interface Filled {
    firmware: string;
    group: string;
    /** RFC 3339; empty: until they are released. */
    until: string;
}

/** The command, or null while something is missing or the service has no such command. */
export function bulkRequest(bulk: Bulk, chosen: Chosen, { firmware, group, until }: Filled): Command | null {
    const which = "ids" in chosen ? { device_ids: chosen.ids } : chosen.target;
    switch (bulk) {
        case "update":
            return firmware ? { method: "POST", path: "/devices/bulk/update", body: { firmware_id: firmware, ...which } } : null;
        case "hold":
            return { method: "POST", path: "/devices/bulk/hold", body: { ...which, ...(until ? { until } : {}) } };
        case "release":
            return { method: "POST", path: "/devices/bulk/release", body: which };
        case "add":
        case "remove":
            if (!group || !("ids" in chosen)) return null;
            return { method: bulk === "add" ? "POST" : "DELETE", path: `/groups/${encodeURIComponent(group)}/members`, body: which };
    }
}

/** What to ask before: the preview of the campaign that an update by filters makes, or the command itself as a dry run. */
export function forecastRequest(bulk: Bulk, chosen: Chosen, command: Command): { command: Command; isDryRun: boolean } {
    if (bulk !== "update" || "ids" in chosen) return { command, isDryRun: true };
    const { group, target_filters } = chosen.target;
    const { firmware_id } = command.body as { firmware_id: string };
    const body = {
        name: "Forecast", firmware_id, deployment_strategy: "immediate",
        ...(group ? { target_groups: [group] } : {}), ...(target_filters ? { target_filters } : {}),
    };
    return { command: { method: "POST", path: "/campaigns/preview", body }, isDryRun: false };
}

export interface Outcome {
    succeeded: number;
    /** Of these, the ones that were not so before; null if the reply doesn't say. */
    changed: number | null;
    failed: { id: string; why: string }[];
    /** More failed than are named. */
    failedCount: number;
    campaign: string | null;
    nextAfter: string | null;
}

interface Item {
    id?: string | null;
    error?: { detail?: string } | null;
}

/** What a reply says: outcomes by device, or the campaign that carries the update. */
export function outcomeOf(reply: Record<string, unknown>): Outcome {
    const items = Array.isArray(reply.items) ? (reply.items as Item[]) : [];
    const failed = items.filter(item => item.error).map(item => ({ id: item.id ?? "?", why: item.error?.detail ?? "refused" }));
    return {
        succeeded: typeof reply.succeeded === "number" ? reply.succeeded : items.length - failed.length,
        changed: typeof reply.changed === "number" ? reply.changed : null,
        failed,
        failedCount: typeof reply.failed === "number" ? reply.failed : failed.length,
        campaign: typeof reply.campaign_id === "string" ? reply.campaign_id : null,
        nextAfter: typeof reply.next_after === "string" ? reply.next_after : null,
    };
}

/** Two pages of one command as one. */
export function joined(one: Outcome | null, next: Outcome): Outcome {
    if (!one) return next;
    return {
        succeeded: one.succeeded + next.succeeded,
        changed: one.changed === null || next.changed === null ? null : one.changed + next.changed,
        failed: [...one.failed, ...next.failed],
        failedCount: one.failedCount + next.failedCount,
        campaign: next.campaign ?? one.campaign,
        nextAfter: next.nextAfter,
    };
}
