/** The life of an update as a strip of phases. Pure. */
import type { HistoryItem, Update } from "../api/types.ts";

/** Phases on the way of every update, in their order. */
const WAY = ["queued", "dispatched", "accepted", "downloading", "verifying", "installing", "staged", "activating", "rebooting", "confirmed"] as const;
/** Phases that only some updates have: shown if the update has been there. */
const OPTIONAL: readonly string[] = ["staged", "activating", "rebooting"];
/** Phases before the device has taken the update. */
export const WAITING: readonly string[] = ["queued", "waiting", "deferred"];
/** Phases after which nothing more happens. */
const ENDS: readonly string[] = ["confirmed", "failed", "rejected", "timed_out", "expired", "cancelled", "superseded", "regressed"];

export interface Step {
    phase: string;
    state: "done" | "now" | "next" | "end_ok" | "end_bad";
    /** When it began in the latest attempt; not known for steps that were left out. */
    at: string | null;
    /** Seconds that it took; for the present one none. */
    took: number | null;
}

/** Ends that somebody should know of. */
const BAD_ENDS: readonly string[] = ["failed", "rejected", "timed_out", "expired", "regressed"];

export function hasEndedBadly(phase: string): boolean {
    return BAD_ENDS.includes(phase);
}

export function hasEnded(phase: string): boolean {
    return ENDS.includes(phase);
}

type UpdateEvent = { update?: { ordinal?: number; attempt?: number } };

/** When each phase of an update was last entered, from the device's events in any order. */
export function phaseTimes(items: readonly HistoryItem[], ordinal: number): Map<string, string> {
    const times = new Map<string, string>();
    for (const item of items) {
        const [kind, phase] = item.type.split(".");
        if (kind !== "update" || !phase || (item.event as UpdateEvent | null)?.update?.ordinal !== ordinal) continue;
        const at = item.recorded_at ?? item.stored_at;
        const known = times.get(phase);
        if (known === undefined || Date.parse(known) < Date.parse(at)) times.set(phase, at);
    }
    return times;
}

/** The steps of an update: those behind it, where it is, and those to come. */
export function steps(update: Pick<Update, "phase" | "phase_since" | "queued_at" | "ended_at">, times: ReadonlyMap<string, string>): Step[] {
    const { phase } = update;
    const begun = (name: string): string | null => (name === "queued" ? (update.queued_at ?? null) : (times.get(name) ?? null));
    const shown = WAY.filter(name => !OPTIONAL.includes(name) || name === phase || times.has(name));
    const here = shown.indexOf(phase as (typeof WAY)[number]);
    const list: Step[] = [];
    const isWaiting = WAITING.includes(phase);
    if (here >= 0 && !hasEnded(phase)) {
        shown.forEach((name, n) => list.push(step(name, n < here ? "done" : n === here ? "now" : "next", n <= here ? begun(name) : null)));
    } else if (isWaiting) {
        list.push(step("queued", "done", begun("queued")), step(phase, "now", update.phase_since ?? null));
        shown.slice(1).forEach(name => list.push(step(name, "next", null)));
    } else if (hasEnded(phase)) {
        shown.filter(name => name !== "confirmed" && begun(name) !== null).forEach(name => list.push(step(name, "done", begun(name))));
        if (phase === "regressed" && times.has("confirmed")) list.push(step("confirmed", "done", begun("confirmed")));
        list.push(step(phase, phase === "confirmed" ? "end_ok" : "end_bad", times.get(phase) ?? update.ended_at ?? null));
    } else {
        // Such as `cancelling`: what it has done, and where it is.
        shown.filter(name => begun(name) !== null).forEach(name => list.push(step(name, "done", begun(name))));
        list.push(step(phase, "now", update.phase_since ?? null));
    }
    return withDurations(list);
}

function step(phase: string, state: Step["state"], at: string | null): Step {
    return { phase, state, at, took: null };
}

/** Adds how long each step took: until the next one whose time is known. */
function withDurations(list: readonly Step[]): Step[] {
    return list.map((one, n) => {
        const next = list.slice(n + 1).find(later => later.at !== null);
        if (one.state !== "done" || !one.at || !next?.at) return one;
        const took = (Date.parse(next.at) - Date.parse(one.at)) / 1_000;
        return took >= 0 ? { ...one, took } : one;
    });
}

export interface Clock {
    label: string;
    until: string;
}

/** What a clock of the service ends; the wait for the first answer has a time of its own. */
const DEADLINES: Record<string, string> = {
    work: "times out: no working time is left for all attempts",
    phase: "times out if the device stays silent in this phase",
};

/** Clocks that run for an update: what happens when they end. */
export function clocks(update: Pick<Update, "phase" | "reached_at" | "wait_until" | "not_before" | "deadline_at" | "deadline_clock">): Clock[] {
    if (hasEnded(update.phase)) return [];
    const running: Clock[] = [];
    if (update.not_before) running.push({ label: "next attempt", until: update.not_before });
    if (!update.reached_at && update.wait_until) running.push({ label: "expires without an answer of the device", until: update.wait_until });
    const label = DEADLINES[update.deadline_clock ?? ""];
    if (update.deadline_at && label) running.push({ label, until: update.deadline_at });
    return running;
}
