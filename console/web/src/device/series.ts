/** Measurements as columns for a plot. Pure. */

export interface Measurement {
    at: string;
    data: unknown;
}

/** Names of the measurements that are numbers, in the order of the alphabet. */
export function numericNames(latest: Record<string, { value?: unknown }>): string[] {
    return Object.entries(latest).filter(([, reading]) => typeof reading.value === "number").map(([name]) => name).sort();
}

/** Times in milliseconds, and the values of each name; null where a message had none. */
export function series(items: readonly Measurement[], names: readonly string[]): [number[], ...(number | null)[][]] {
    const times = items.map(item => Date.parse(item.at));
    const values = names.map(name => items.map(item => {
        const value = (item.data as Record<string, unknown> | null)?.[name];
        return typeof value === "number" && Number.isFinite(value) ? value : null;
    }));
    return [times, ...values];
}
