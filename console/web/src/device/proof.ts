/** What shows that a device runs a version: what it reported after a boot. Pure. */
import type { HistoryItem } from "../api/types.ts";

export interface Proof {
    bootId: string | null;
    slot: string | null;
    /** Whether the device may still go back to what it ran before. */
    isTrial: boolean;
    at: string;
    position: string;
    type: string;
}

type Event = Record<string, unknown>;

const text = (event: Event, name: string): string | null => (typeof event[name] === "string" ? (event[name] as string) : null);

/** The newest proof of what a component runs, among events with the newest first. */
export function proofOf(items: readonly HistoryItem[], component: string): Proof | null {
    const found = items.find(item => isProof(item, component));
    if (!found) return null;
    const event = found.event as Event;
    return {
        bootId: text(event, "boot_id"),
        slot: text(event, "slot"),
        isTrial: event.trial === true,
        at: found.recorded_at ?? found.stored_at,
        position: found.position,
        type: found.type,
    };
}

function isProof(item: HistoryItem, component: string): boolean {
    const event = item.event as Event | null | undefined;
    if (!event) return false;
    if (item.type === "update.confirmed") return event.component === component;
    if (item.type !== "device.versions_reported") return false;
    // A report without versions says that they are the same as before.
    const versions = event.versions as Event | undefined;
    return versions === undefined || component in versions;
}
