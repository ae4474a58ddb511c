/** Version statistics: shares of now, and series for the chart. Pure. */

export interface Group {
    version?: string | null;
    device_model?: string | null;
    devices: number;
}

export interface Share {
    version: string;
    devices: number;
}

/** What stands for devices of which nobody knows what they run. */
export const UNKNOWN = "not known";

/** Devices of a model by version, the most first. */
export function shares(groups: readonly Group[], model: string): Share[] {
    const found = new Map<string, number>();
    for (const group of groups) {
        if (group.device_model !== model) continue;
        const version = group.version ?? UNKNOWN;
        found.set(version, (found.get(version) ?? 0) + group.devices);
    }
    return [...found].map(([version, devices]) => ({ version, devices })).sort((a, b) => b.devices - a.devices || a.version.localeCompare(b.version));
}

/** A version at two moments. */
export interface Change {
    version: string;
    then: number;
    now: number;
}

/** Devices by version at two moments, the most now first. */
export function changes(then: readonly Share[], now: readonly Share[]): Change[] {
    const devices = (found: readonly Share[], version: string): number => found.find(one => one.version === version)?.devices ?? 0;
    return [...new Set([...now, ...then].map(share => share.version))].map(version => ({ version, then: devices(then, version), now: devices(now, version) }));
}

/** Times from `end` back, `count` of them over `seconds`, the oldest first, in whole minutes, or in whole seconds when they are closer together. */
export function momentsUntil(end: number, seconds: number, count: number): number[] {
    const step = (seconds * 1_000) / (count - 1);
    const grain = step >= 60_000 ? 60_000 : 1_000;
    return Array.from({ length: count }, (_, n) => Math.floor((end - (count - 1 - n) * step) / grain) * grain);
}

export interface Series {
    version: string;
    values: number[];
}

/** One series for each version: `own` first, then those with the most devices, at most `most`. */
export function series(points: readonly (readonly Share[])[], own: string, most: number): Series[] {
    const highest = new Map<string, number>([[own, 0]]);
    for (const point of points) for (const { version, devices } of point) highest.set(version, Math.max(devices, highest.get(version) ?? 0));
    const versions = [...highest].sort(([a, x], [b, y]) => Number(b === own) - Number(a === own) || y - x).slice(0, most).map(([version]) => version);
    return versions.map(version => ({ version, values: points.map(point => point.find(one => one.version === version)?.devices ?? 0) }));
}
