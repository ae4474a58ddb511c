/** Filters that are kept in a browser, as text and back. Pure. */

/** Most filters that are kept; the oldest makes room. */
const SAVED_MAX = 30;
/** Longest name of a filter, in characters. */
export const NAME_MAX = 60;
/** Parameters that belong to the moment, not to the filter. */
const OF_THE_MOMENT = ["at", "compare", "cursor", "tab", "tz"];

export interface Saved {
    name: string;
    /** Parameters of the page. */
    query: string;
}

function isSaved(one: unknown): one is Saved {
    const { name, query } = (one ?? {}) as Partial<Saved>;
    return typeof name === "string" && typeof query === "string";
}

/** What is kept; nothing if it can't be read. */
export function savedOf(text: string | null): Saved[] {
    try {
        const found: unknown = JSON.parse(text ?? "[]");
        return Array.isArray(found) ? found.filter(isSaved).slice(0, SAVED_MAX) : [];
    } catch {
        return [];
    }
}

/** With one more; another one of this name is replaced. */
export function added(all: readonly Saved[], one: Saved): Saved[] {
    return [...all.filter(other => other.name !== one.name), one].slice(-SAVED_MAX);
}

/** The parameters that are worth to be kept. */
export function worthSaving(query: URLSearchParams): string {
    const kept = new URLSearchParams(query);
    OF_THE_MOMENT.forEach(name => kept.delete(name));
    return kept.toString();
}
