/** A device, and why its update waits or failed, in sentences. Pure. */
import type { Device, Update } from "../api/types.ts";
import { words } from "../time/format.ts";

type Live = Pick<Update, "version" | "phase" | "progress" | "kind" | "component">;

/** `failed` is the device's latest update if it ended badly. */
export function deviceSentence(device: Device, live: Live | undefined, failed?: Pick<Update, "version" | "phase" | "code" | "kind">): string {
    const runs = runsWhat(device);
    if (device.lifecycle !== "active") return `It is ${words(device.lifecycle)}. ${runs}`;
    const held = device.held ? " It is held: no update reaches it." : "";
    if (live) return `${runs} ${doing(live)}${held}`;
    const rest = device.current_update ? " An update is under way." : device.waiting_updates.length > 0 ? " An update waits." : "";
    return `${runs}${rest}${failed ? ` ${endedBadly(failed)}` : ""}${held}`;
}

function runsWhat(device: Device): string {
    const all = Object.entries(device.versions);
    if (all.length === 0) return "What it runs is not known.";
    return `It runs ${all.map(([component, version]) => `${component} ${version}`).join(", ")}.`;
}

const BAD: Record<string, string> = { regressed: "was taken back: the device fell back by itself", rejected: "was rejected", timed_out: "timed out", expired: "expired" };

function endedBadly({ kind, version, phase, code }: Pick<Update, "version" | "phase" | "code" | "kind">): string {
    return `Its latest ${kind}, to ${version}, ${BAD[phase] ?? words(phase)}${code ? `: ${sayCode(code)}` : ""}.`;
}

/** Phases that are no activity of the device. */
const STANDING: Record<string, string> = {
    queued: "is queued", waiting: "waits", deferred: "is deferred", dispatched: "was sent to it", accepted: "was accepted", staged: "is installed, but not active",
};

function doing(live: Live): string {
    const what = live.kind === "rollback" ? "A rollback" : "An update";
    const component = live.component === "firmware" ? "" : ` of ${live.component}`;
    const percent = live.progress == null ? "" : ` (${live.progress}\u00a0%)`;
    return `${what}${component} to ${live.version} ${STANDING[live.phase] ?? `is ${words(live.phase)}`}${percent}.`;
}

const WAITS: Record<string, string> = {
    offline: "for the device to come online",
    busy: "for another update of the device to end",
    slot: "for its turn in the campaign",
    backoff: "for the pause before another attempt",
    unresponsive: "for a message of the device, which has not answered its command",
    window: "for the maintenance window of its campaign",
    withdrawn: "for its campaign to be resumed",
    precondition: "for battery, power or contact as its order requires",
};

/** What an update waits for. */
export function sayWait(reason: string): string {
    return `Waits ${WAITS[reason] ?? `: ${words(reason)}`}.`.replace(" :", ":");
}

/** What the service says, as a sentence of its own. */
export function fullSentence(said: string): string {
    return `${said.charAt(0).toUpperCase()}${said.slice(1)}${/[.!?]$/.test(said) ? "" : "."}`;
}

/** Codes of the service; those of devices have their own words. */
const CODES: Record<string, string> = {
    x_silent: "The device fell silent",
    x_timed_out: "Its time was over",
    x_digest_missing: "The device didn't report the digest of what it received",
    x_unknown: "A code that isn't known",
};

export function sayCode(code: string): string {
    return CODES[code] ?? words(code.replace(/^x_/, ""));
}
