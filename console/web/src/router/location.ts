/** Where the browser is: the URL is the state of every page. */
import { computed, signal } from "@preact/signals";
import { withQuery } from "./match.ts";

/** Where the console is served. */
export const BASE = "/console";

interface Place {
    path: string;
    query: string;
}

function here(): Place {
    const { pathname, search } = window.location;
    return { path: pathname.startsWith(BASE) ? pathname.slice(BASE.length) || "/" : "/", query: search };
}

const place = signal<Place>(here());

export const path = computed(() => place.value.path);
export const query = computed(() => new URLSearchParams(place.value.query));

/** The address of a page. The moment that is looked at (`at`), and whether it is compared with now, go with every link. */
export function href(to: string, parameters: Record<string, string | null | undefined> = {}): string {
    const at = parameters.at === null ? null : query.value.get("at");
    const compare = at && query.value.get("compare");
    const wanted = Object.fromEntries(Object.entries(parameters).map(([name, value]) => [name, value ?? null]));
    return BASE + to + withQuery("", { at, compare, ...wanted });
}

/** A path with ids in it, each encoded. */
export function to(strings: TemplateStringsArray, ...ids: string[]): string {
    return strings.reduce((text, part, n) => text + encodeURIComponent(ids[n - 1] ?? "") + part);
}

export function navigate(address: string, { replace = false } = {}): void {
    if (replace) history.replaceState(null, "", address);
    else history.pushState(null, "", address);
    place.value = here();
}

/** Changes parameters of this page. Typing replaces the entry of the history, anything else adds one. */
export function setQuery(changes: Record<string, string | null>, { replace = false } = {}): void {
    navigate(BASE + place.value.path + withQuery(place.value.query, changes), { replace });
}

function isPlain(event: MouseEvent): boolean {
    return event.button === 0 && !event.metaKey && !event.ctrlKey && !event.shiftKey && !event.altKey;
}

/** Links within the console change the page without loading it; others, and those for a new tab, are the browser's. */
export function follow(): void {
    window.addEventListener("popstate", () => (place.value = here()));
    document.addEventListener("click", event => {
        const link = (event.target as Element | null)?.closest?.("a");
        if (!link || event.defaultPrevented || !isPlain(event) || link.target || link.hasAttribute("download")) return;
        const url = new URL(link.href);
        if (url.origin !== window.location.origin || !(url.pathname + "/").startsWith(BASE + "/")) return;
        event.preventDefault();
        navigate(url.pathname + url.search);
    });
}
