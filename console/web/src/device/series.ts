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

/** A pause longer than this many usual ones is a gap: no line is drawn over it. */
const GAP_FACTOR = 5;

/** The same with a time without values in each gap, so that no line says what wasn't measured. */
export function withGaps(times: readonly number[], values: readonly (readonly (number | null)[])[]): [number[], (number | null)[][]] {
    const pauses = times.slice(1).map((time, n) => time - (times[n] ?? time)).sort((one, other) => one - other);
    const usual = pauses[Math.floor(pauses.length / 2)] ?? 0;
    const spread: number[] = [];
    const spreadValues: (number | null)[][] = values.map(() => []);
    times.forEach((time, n) => {
        const before = times[n - 1];
        if (before !== undefined && usual > 0 && time - before > usual * GAP_FACTOR) {
            spread.push((before + time) / 2);
            spreadValues.forEach(line => line.push(null));
        }
        spread.push(time);
        spreadValues.forEach((line, at) => line.push(values[at]?.[n] ?? null));
    });
    return [spread, spreadValues];
}

/** A time from `from` to `to`, both in milliseconds, in equal parts. */
export function windows(from: number, to: number, parts: number): { from: string; to: string }[] {
    const step = (to - from) / parts;
    return Array.from({ length: parts }, (_, n) => ({ from: new Date(from + n * step).toISOString(), to: new Date(from + (n + 1) * step).toISOString() }));
}
