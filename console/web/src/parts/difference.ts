/** What differs between two states of one thing. Pure. */

type Leaf = string | number | boolean;

export interface Difference {
    /** The names on the way to it, such as `versions.firmware`. */
    name: string;
    then: Leaf | null;
    now: Leaf | null;
}

const isThing = (value: unknown): value is object => typeof value === "object" && value !== null;

/** All values of a thing by their names; nothing for what is empty. A list of plain values is one value. */
function leaves(value: unknown, skipped: readonly string[], name: string, found: Map<string, Leaf>): Map<string, Leaf> {
    if (value === null || value === undefined || value === "" || skipped.includes(name.replace(/\.\d+/g, ""))) return found;
    if (Array.isArray(value) && !value.some(isThing)) {
        if (value.length > 0) found.set(name, value.join(", "));
    } else if (isThing(value)) {
        for (const [key, own] of Object.entries(value)) {
            const shown = Array.isArray(value) ? String(Number(key) + 1) : key;
            leaves(own, skipped, name === "" ? shown : `${name}.${shown}`, found);
        }
    } else {
        found.set(name, value as Leaf);
    }
    return found;
}

/** The differences in the order of the later state. Names in `skipped`, without the numbers of lists, are left out with all below them. */
export function differences(then: unknown, now: unknown, skipped: readonly string[]): Difference[] {
    const [before, after] = [leaves(then, skipped, "", new Map()), leaves(now, skipped, "", new Map())];
    return [...new Set([...after.keys(), ...before.keys()])]
        .map(name => ({ name, then: before.get(name) ?? null, now: after.get(name) ?? null }))
        .filter(one => one.then !== one.now);
}
