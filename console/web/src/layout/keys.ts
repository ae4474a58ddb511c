/** Keys of the console. They do nothing while something is typed, and nothing with Ctrl, Alt or the command key, except Ctrl+K. */
import { href, navigate } from "../router/location.ts";
import { nextTimes } from "../time/clock.ts";
import { PLACES } from "./nav.tsx";

/** How long `g` waits for the letter after it, in milliseconds. */
const PREFIX_MS = 1_500;

export interface Openers {
    palette: () => void;
    help: () => void;
}

/** What the help lists. */
export const KEYS: readonly [keys: string, what: string][] = [
    ["/ or Ctrl+K", "search, and jump to any id"],
    ...PLACES.map((place): [string, string] => [`g ${place.key}`, place.title]),
    ["j, k", "next row, row before"],
    ["Enter", "open the row"],
    [".", "first action of the page"],
    ["t", "times: here, in UTC, how long ago"],
    ["?", "this help"],
    ["Esc", "close"],
];

function isTyping(target: EventTarget | null): boolean {
    return target instanceof HTMLElement && (target.isContentEditable || ["INPUT", "TEXTAREA", "SELECT"].includes(target.tagName));
}

/** Moves the focus to the link of another row. */
function moveRow(by: number): void {
    const rows = [...document.querySelectorAll<HTMLElement>("tr[data-row]")];
    const here = rows.findIndex(row => row.contains(document.activeElement));
    const next = rows[here < 0 ? (by > 0 ? 0 : rows.length - 1) : here + by];
    next?.querySelector<HTMLElement>("a, button")?.focus();
}

/** Listens until the returned function is called. */
export function listen(open: Openers): () => void {
    let prefixAt = 0;
    const pressed = (event: KeyboardEvent): void => {
        if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "k") {
            event.preventDefault();
            return open.palette();
        }
        if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target) || document.querySelector("dialog[open]")) return;
        if (Date.now() - prefixAt < PREFIX_MS) {
            prefixAt = 0;
            const place = PLACES.find(one => one.key === event.key);
            if (place) return navigate(href(place.path));
        }
        const does: Record<string, () => void> = {
            "/": open.palette,
            "?": open.help,
            g: () => (prefixAt = Date.now()),
            j: () => moveRow(1),
            k: () => moveRow(-1),
            t: nextTimes,
            ".": () => document.querySelector<HTMLElement>("[data-actions] button")?.focus(),
        };
        const action = does[event.key];
        if (!action) return;
        event.preventDefault();
        action();
    };
    window.addEventListener("keydown", pressed);
    return () => window.removeEventListener("keydown", pressed);
}
