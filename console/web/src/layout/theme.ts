/** Light and dark. Without a choice it is the system's; a choice is remembered in this browser. */
import { signal } from "@preact/signals";

const KEY = "waybill-theme";
const THEMES = ["system", "light", "dark"] as const;
export type Theme = (typeof THEMES)[number];

function remembered(): Theme {
    try {
        const found = localStorage.getItem(KEY);
        return THEMES.find(one => one === found) ?? "system";
    } catch {
        return "system";
    }
}

export const theme = signal<Theme>(remembered());

theme.subscribe(chosen => {
    if (chosen === "system") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = chosen;
    try {
        localStorage.setItem(KEY, chosen);
    } catch {
        // A browser without storage forgets the choice.
    }
});

export function nextTheme(): void {
    theme.value = THEMES[(THEMES.indexOf(theme.value) + 1) % THEMES.length] ?? "system";
}
