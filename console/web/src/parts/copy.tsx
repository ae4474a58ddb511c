/** A button that copies a text. */
import { useState } from "preact/hooks";

/** How long the button says that it has copied, in milliseconds. */
const SAID_MS = 2_000;

export function Copy({ text, label }: { text: string; label: string }) {
    const [said, setSaid] = useState<string | null>(null);
    const copy = (): void => {
        const done = navigator.clipboard ? navigator.clipboard.writeText(text) : Promise.reject(new Error("no clipboard"));
        done.then(() => setSaid("Copied"), () => setSaid("The browser doesn't allow it"));
        window.setTimeout(() => setSaid(null), SAID_MS);
    };
    return (
        <button type="button" onClick={copy}>
            <span aria-live="polite">{said ?? label}</span>
        </button>
    );
}
