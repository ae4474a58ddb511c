/** A time of day: how long ago, with the whole time to hover over and to copy. */
import { clock, relative, zoneName } from "./format.ts";
import { now, times, zone } from "./clock.ts";

/** A time; `relative` says how long ago it is, unless the person wants all times in UTC. */
export function Time({ at, relative: isRelative = false }: { at: string | null | undefined; relative?: boolean }) {
    if (!at) return <span class="muted">–</span>;
    const isAgo = times.value === "ago" || (isRelative && times.value !== "utc");
    const shown = isAgo ? relative(at, now.value) : clock(at, zone.value, now.value);
    const whole = `${clock(at, zone.value, 0)} ${zoneName(zone.value, new Date(at))} · ${relative(at, now.value)}`;
    return <time dateTime={at} title={whole}>{shown}</time>;
}
