/** Parts of the service, sorted by what they are. Pure. */

export interface Part {
    name: string;
    up: boolean;
    status?: string | null;
    detail?: string | null;
    error?: string | null;
    lag?: number | null;
    parked?: number | null;
    position?: number | null;
}

const READ_MODEL = "projection ";
const MANAGER = "process manager ";

export interface Parts<T> {
    /** Read models, named without the word. */
    models: T[];
    managers: T[];
    others: T[];
}

export function sorted<T extends Part>(parts: readonly T[]): Parts<T> {
    const of = (prefix: string): T[] => parts.filter(part => part.name.startsWith(prefix)).map(part => ({ ...part, name: part.name.slice(prefix.length) }));
    return {
        models: of(READ_MODEL),
        managers: of(MANAGER),
        others: parts.filter(part => !part.name.startsWith(READ_MODEL) && !part.name.startsWith(MANAGER)),
    };
}

/** The state of a part; callers who may not see details get only whether it is up. */
export function stateOf(part: Part): string {
    return part.status ?? (part.up ? "up" : "down");
}

/** What needs somebody: parts that aren't up, and parked aggregates. */
export function troubles(parts: readonly Part[]): Part[] {
    return parts.filter(part => stateOf(part) !== "up" || (part.parked ?? 0) > 0);
}
