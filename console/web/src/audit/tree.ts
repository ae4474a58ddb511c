/** What followed from what: the records of a correlation as a tree. Pure. */
import { recordOf } from "./filter.ts";

export interface Caused {
    position: string;
    causation_position?: string | null;
}

/** A record: the events that one command has stored together. */
export interface Row<T> {
    position: string;
    events: T[];
    /** The record that led to it, if it is shown. */
    cause: string | null;
    /** How far it is indented: only where a cause has several consequences, so that long chains stay readable. */
    depth: number;
    /** Consequences that it has. */
    consequences: number;
}

/** Deepest indentation that is shown. */
const DEPTH_MAX = 6;

/** The records in the order of a tree: each after its cause. Items are in the order of the log. */
export function tree<T extends Caused>(items: readonly T[]): Row<T>[] {
    const records = new Map<string, T[]>();
    for (const item of items) {
        const position = recordOf(item.position);
        const record = records.get(position);
        if (record) record.push(item);
        else records.set(position, [item]);
    }
    const consequences = new Map<string | null, string[]>();
    for (const [position, events] of records) {
        const cause = recordOf(events[0]?.causation_position ?? "");
        const key = records.has(cause) && cause !== position ? cause : null;
        consequences.set(key, [...(consequences.get(key) ?? []), position]);
    }
    const rows: Row<T>[] = [];
    const open = (consequences.get(null) ?? []).map(position => ({ position, cause: null as string | null, depth: 0 })).reverse();
    for (let next = open.pop(); next; next = open.pop()) {
        const { position } = next;
        const own = consequences.get(position) ?? [];
        rows.push({ ...next, events: records.get(position) ?? [], consequences: own.length });
        const depth = own.length > 1 ? Math.min(next.depth + 1, DEPTH_MAX) : next.depth;
        for (const one of [...own].reverse()) open.push({ position: one, cause: position, depth });
    }
    return rows;
}
