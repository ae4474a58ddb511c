/** One stream of live messages: opened again when it ends, and when it has been silent for too long. */
import type { Message } from "./messages.ts";

const URL = "/api/v1/events/stream";
const TYPES = ["hello", "changes", "heartbeat", "resync", "end"] as const;
/** A stream without a message for this long is opened anew, in milliseconds; a heartbeat comes every 15 s. */
const SILENCE_MAX_MS = 31_000;
const WATCH_MS = 5_000;
/** Waits before a refused stream is opened again, in milliseconds. Who may see some devices only is refused every time. */
const REOPEN_MS = [500, 1_000, 2_000, 5_000, 10_000, 10_000, 30_000] as const;
/** How often pages read again while no stream is to be had, in milliseconds. */
const POLL_MS = 5_000;

/** Follows the stream until the signal aborts. */
export function follow(tell: (message: Message) => void, stop: AbortSignal): void {
    let source: EventSource | null = null;
    let failures = 0;
    let heardAt = Date.now();
    let last = "";
    let reopen: number | undefined;

    const open = (): void => {
        window.clearTimeout(reopen);
        reopen = undefined;
        source?.close();
        heardAt = Date.now();
        source = new EventSource(last ? `${URL}?last_event_id=${encodeURIComponent(last)}` : URL);
        for (const type of TYPES) source.addEventListener(type, event => take(type, event as MessageEvent<string>));
        source.onerror = failed;
    };
    const take = (type: (typeof TYPES)[number], event: MessageEvent<string>): void => {
        heardAt = Date.now();
        failures = 0;
        const message = parsed(event.data);
        if (message?.position) last = message.position;
        if (message) tell({ ...message, type });
    };
    const failed = (): void => {
        if (stop.aborted) return;
        // The browser comes back by itself unless the service refuses the stream.
        const isRefused = source?.readyState === EventSource.CLOSED;
        tell({ type: "state", state: failures > 2 ? "polling" : "reconnecting" });
        if (!isRefused) return;
        const wait = REOPEN_MS[Math.min(failures, REOPEN_MS.length - 1)] ?? 30_000;
        failures += 1;
        window.clearTimeout(reopen);
        reopen = window.setTimeout(open, wait * (0.75 + Math.random() / 2));
    };

    open();
    const watch = window.setInterval(() => {
        // A refused stream is silent, too, and is opened again after its wait.
        if (reopen !== undefined || Date.now() - heardAt < SILENCE_MAX_MS) return;
        tell({ type: "state", state: "reconnecting" });
        open();
    }, WATCH_MS);
    const poll = window.setInterval(() => {
        if (failures > 2) tell({ type: "state", state: "polling" });
    }, POLL_MS);
    stop.addEventListener("abort", () => {
        window.clearInterval(watch);
        window.clearInterval(poll);
        window.clearTimeout(reopen);
        source?.close();
    });
}

function parsed(text: string): Message | null {
    try {
        return JSON.parse(text) as Message;
    } catch {
        return null;
    }
}
