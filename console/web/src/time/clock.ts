/** The time of day, how times are shown, and the moment that a page shows. */
import { computed, signal } from "@preact/signals";
import { query, setQuery } from "../router/location.ts";
import type { Zone } from "./format.ts";

/** Now, in milliseconds; it moves once a second while the page is seen. */
export const now = signal(Date.now());

window.setInterval(() => {
    if (!document.hidden) now.value = Date.now();
}, 1_000);

/** How times are shown: in the zone of the browser, all in UTC, or all by how long ago they are. The URL has it, so that a link shows the same. */
export type Times = Zone | "ago";

export const times = computed<Times>(() => (["utc", "ago"] as const).find(one => one === query.value.get("tz")) ?? "local");

/** The zone of times of day. */
export const zone = computed<Zone>(() => (times.value === "utc" ? "utc" : "local"));

const NEXT = { local: "utc", utc: "ago", ago: null };

/** Shows times in the next way. */
export function nextTimes(): void {
    setQuery({ tz: NEXT[times.value] }, { replace: true });
}

const RFC_3339 = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$/;

/** The moment that the page shows, as RFC 3339; null: it is live. */
export const at = computed<string | null>(() => {
    const given = query.value.get("at");
    if (!given || Number.isNaN(Date.parse(given))) return null;
    // As it was given, because a browser's clock has no microseconds.
    return RFC_3339.test(given) ? given : new Date(given).toISOString();
});

/** Whether the page shows that moment beside what is now. */
export const isComparing = computed(() => at.value !== null && query.value.get("compare") === "now");

/** Shows another moment; null shows what is now. */
export function lookAt(time: string | null): void {
    setQuery(time === null ? { at: null, compare: null } : { at: time });
}
