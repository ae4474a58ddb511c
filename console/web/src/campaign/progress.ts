/** What the numbers of a campaign say. Pure. */
import type { Campaign, CampaignStatus, Wait, Wave } from "../api/types.ts";
import type { Part } from "../parts/bar.tsx";
import { count, percent, several, words } from "../time/format.ts";

/** States in which a campaign moves, or waits for something. */
export const LIVE = ["awaiting_approval", "approved", "scheduled", "planning", "running", "paused", "rolling_back", "cancelling"] as const;

/** What only a person can end. */
const FOR_PEOPLE = new Set(["operator", "approval", "resume", "accept", "firmware", "freeze", "signatures"]);

export function isForPeople(wait: Wait): boolean {
    return FOR_PEOPLE.has(wait.kind);
}

/** Parts of a wave's bar. */
export function waveParts(wave: Wave): Part[] {
    return [
        { tone: "ok", value: wave.confirmed },
        { tone: "bad", value: wave.failed },
        { tone: "warn", value: wave.expired + wave.cancelled + wave.superseded },
        { tone: "work", value: Math.max(0, wave.working + wave.staged) },
    ];
}

/** Parts of the whole campaign's bar. */
export function wholeParts(status: CampaignStatus): Part[] {
    const of = (key: "expired" | "cancelled" | "superseded" | "working" | "staged"): number =>
        status.waves.reduce((sum, wave) => sum + wave[key], 0);
    return [
        { tone: "ok", value: status.confirmed },
        { tone: "bad", value: status.failed },
        { tone: "warn", value: of("expired") + of("cancelled") + of("superseded") },
        { tone: "work", value: of("working") + of("staged") },
    ];
}

/** The state of a campaign in a sentence, from its numbers and what it waits for. */
export function sentence(campaign: Pick<Campaign, "status" | "wave" | "waits_for">, status: CampaignStatus | undefined): string {
    const waves = status?.waves.length ?? 0;
    const settled = status && status.enrolled > 0
        ? ` ${count(status.settled)} of ${several(status.enrolled, "device")} settled, ${count(status.failed)} failed (${percent(status.failed, status.settled)}).`
        : "";
    const where = waves > 0 && campaign.wave > 0 ? `Wave ${campaign.wave} of ${waves}` : "";
    const waits = (campaign.waits_for ?? []).map(wait => wait.detail);
    const waiting = waits.length > 0 ? `waits for ${waits.join("; ")}` : "";
    switch (campaign.status) {
        case "draft":
            return "A draft: nothing is planned yet.";
        case "running":
        case "paused": {
            const state = campaign.status === "running" ? "is running" : "is paused";
            return `${where || "The campaign"} ${state}${waiting ? ` and ${waiting}` : ""}.${settled}`;
        }
        default:
            return `The campaign is ${words(campaign.status)}${waiting ? ` and ${waiting}` : ""}.${settled}`;
    }
}
