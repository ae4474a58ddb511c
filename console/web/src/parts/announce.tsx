/** Says a text to those who don't see the page: politely, and not at each change. */
import { useEffect, useRef, useState } from "preact/hooks";

/** Shortest time between two announcements, in milliseconds. */
const PAUSE_MS = 10_000;

export function Announce({ text }: { text: string }) {
    const [said, setSaid] = useState("");
    const saidAt = useRef(0);
    useEffect(() => {
        const wait = Math.max(0, saidAt.current + PAUSE_MS - Date.now());
        const timer = window.setTimeout(() => {
            saidAt.current = Date.now();
            setSaid(text);
        }, wait);
        return () => window.clearTimeout(timer);
    }, [text]);
    return <p class="hidden" role="status">{said}</p>;
}
