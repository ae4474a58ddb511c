/** Choices of looks that are remembered in this browser: colours, and how close rows are. Style sheets read them from the root element. */
import { type Signal, signal } from "@preact/signals";

interface Choice {
    value: Signal<string>;
    next: () => void;
}

/** The first value is the one without a choice. */
function remembered(name: string, values: readonly string[]): Choice {
    const key = `waybill-${name}`;
    const first = values[0] ?? "";
    let found: string | null = null;
    try {
        found = localStorage.getItem(key);
    } catch {
        // A browser without storage forgets the choice.
    }
    const value = signal(found !== null && values.includes(found) ? found : first);
    value.subscribe(chosen => {
        if (chosen === first) delete document.documentElement.dataset[name];
        else document.documentElement.dataset[name] = chosen;
        try {
            localStorage.setItem(key, chosen);
        } catch {
            // As above.
        }
    });
    return { value, next: () => (value.value = values[(values.indexOf(value.value) + 1) % values.length] ?? first) };
}

/** Without a choice the colours are the system's. */
export const theme = remembered("theme", ["system", "light", "dark"]);
export const density = remembered("density", ["roomy", "compact"]);
