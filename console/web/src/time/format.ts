/** Times, numbers and words for people. Pure: the moment and the zone come in. */

export type Zone = "local" | "utc";

/** Seconds of the units of a duration, the largest first. */
const UNITS: readonly [seconds: number, name: string][] = [
    [86_400, "d"],
    [3_600, "h"],
    [60, "min"],
    [1, "s"],
];

/** A duration in at most two units: `2 h 5 min`. */
export function duration(seconds: number): string {
    const whole = Math.round(Math.abs(seconds));
    const first = UNITS.findIndex(([size]) => whole >= size);
    if (first < 0) return "0 s";
    const [size, name] = UNITS[first] ?? [1, "s"];
    const next = UNITS[first + 1];
    const rest = next ? Math.floor((whole % size) / next[0]) : 0;
    const head = `${Math.floor(whole / size)} ${name}`;
    return next && rest > 0 ? `${head} ${rest} ${next[1]}` : head;
}

/** Short duration with its exact value below ten seconds: `0.94 s`. */
export function seconds(value: number | null | undefined): string {
    if (value === null || value === undefined) return "–";
    return value < 10 ? `${value.toFixed(2)} s` : duration(value);
}

/** How long ago or ahead a time is: `5 min ago`, `in 2 h`. */
export function relative(time: string, now: number): string {
    const difference = (Date.parse(time) - now) / 1_000;
    if (Math.abs(difference) < 1) return "now";
    return difference < 0 ? `${rough(difference)} ago` : `in ${rough(difference)}`;
}

/** A duration in its largest unit. */
function rough(seconds: number): string {
    return duration(seconds).split(" ").slice(0, 2).join(" ");
}

const pad = (value: number, digits = 2): string => String(value).padStart(digits, "0");

/** `2026-11-29 14:03:07` in the zone; with the date only if it isn't that of `now`. */
export function clock(time: string | number, zone: Zone, now: number): string {
    const at = new Date(time);
    if (Number.isNaN(at.getTime())) return String(time);
    const [date, day] = zone === "utc" ? utc(at) : local(at);
    const [, today] = zone === "utc" ? utc(new Date(now)) : local(new Date(now));
    return day === today ? date : `${day} ${date}`;
}

function local(at: Date): [time: string, day: string] {
    const time = `${pad(at.getHours())}:${pad(at.getMinutes())}:${pad(at.getSeconds())}`;
    return [time, `${at.getFullYear()}-${pad(at.getMonth() + 1)}-${pad(at.getDate())}`];
}

function utc(at: Date): [time: string, day: string] {
    const text = at.toISOString();
    return [text.slice(11, 19), text.slice(0, 10)];
}

/** Name of the zone, such as `UTC` or `UTC+1`. */
export function zoneName(zone: Zone, at: Date): string {
    if (zone === "utc") return "UTC";
    const minutes = -at.getTimezoneOffset();
    if (minutes === 0) return "UTC";
    const rest = Math.abs(minutes) % 60;
    return `UTC${minutes > 0 ? "+" : "−"}${Math.floor(Math.abs(minutes) / 60)}${rest ? `:${pad(rest)}` : ""}`;
}

/** A time in milliseconds as an input `datetime-local` writes it, to the second: in the zone of the browser, or at another offset in minutes. */
export function localText(time: number, offset_minutes = new Date(time).getTimezoneOffset()): string {
    return new Date(time - offset_minutes * 60_000).toISOString().slice(0, 19);
}

/** Thousands in groups: `18 204 113`. */
export function count(value: number): string {
    return Math.round(value).toString().replace(/\B(?=(\d{3})+(?!\d))/g, "\u202f");
}

/** Bytes in units of 1,000: `17.7 MB`. */
export function bytes(value: number): string {
    const names = ["B", "kB", "MB", "GB", "TB"];
    let size = value;
    let n = 0;
    while (size >= 1_000 && n < names.length - 1) {
        size /= 1_000;
        n += 1;
    }
    return `${n === 0 || size >= 100 ? Math.round(size) : size.toFixed(1)} ${names[n]}`;
}

/** `3.3 %`; a dash where there is nothing to divide. */
export function percent(part: number, whole: number): string {
    if (whole === 0) return "–";
    const value = (part / whole) * 100;
    return `${value > 0 && value < 10 ? value.toFixed(1) : Math.round(value)}\u00a0%`;
}

/** A word of the API for people: `completed_with_failures` becomes `completed with failures`. */
export function words(text: string): string {
    return text.replaceAll("_", " ");
}

/** One thing or several: `1 device`, `3 devices`. */
export function several(number: number, one: string, many = `${one}s`): string {
    return `${count(number)} ${number === 1 ? one : many}`;
}
