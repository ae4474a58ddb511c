/** What each edit of a campaign has changed. Pure. */
import { differences, type Difference } from "../parts/difference.ts";

type Settings = Record<string, unknown>;

export interface HistoryEvent {
    type: string;
    position: string;
    actor?: string | null | undefined;
    reason?: string | null | undefined;
    stored_at: string;
    event?: unknown;
}

export interface Edit<T> {
    item: T;
    found: Difference[];
}

/** The settings after an event; undefined if it doesn't change them. */
function after(before: Settings, { type, event }: HistoryEvent): Settings | undefined {
    const { spec, changes } = (event ?? {}) as { spec?: Settings; changes?: Settings };
    if (type === "campaign.created" || type === "campaign.amended") return spec;
    return type === "campaign.adjusted" && changes ? { ...before, ...changes } : undefined;
}

/** The edits among the events, which are in the order of the log; the newest first. What it was created with is no edit. */
export function edits<T extends HistoryEvent>(events: readonly T[]): Edit<T>[] {
    const found: Edit<T>[] = [];
    let settings: Settings | undefined;
    for (const item of events) {
        const next = after(settings ?? {}, item);
        if (!next) continue;
        if (settings) found.unshift({ item, found: differences(settings, next, []) });
        settings = next;
    }
    return found;
}
