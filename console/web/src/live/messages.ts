/** Live messages, for the parts of pages that show what changed. */
import { signal } from "@preact/signals";
import { remember } from "../api/position.ts";

export interface Change {
    subject: { kind: string; id?: string };
    types: string[];
    count: number;
    position: string;
    time: string;
}

/** A message of the stream, as the tabs of a browser pass it on. */
export interface Message {
    type: "hello" | "changes" | "heartbeat" | "resync" | "end" | "state";
    position?: string;
    time?: string;
    changes?: Change[];
    state?: StreamState;
}

export type StreamState = "connecting" | "live" | "reconnecting" | "polling";

/** How the stream is. */
export const streamState = signal<StreamState>("connecting");
/** When the last message came, in milliseconds; null before the first. */
export const lastMessageAt = signal<number | null>(null);

type Listener = (change: Change | "all") => void;
const listeners = new Set<Listener>();

/** Calls a function with each change, and with "all" when anything may have changed. Returns how to stop that. */
export function onChange(listener: Listener): () => void {
    listeners.add(listener);
    return () => listeners.delete(listener);
}

function tell(change: Change | "all"): void {
    for (const listener of [...listeners]) listener(change);
}

/** Takes a message of the stream, from this tab or another. */
export function receive(message: Message): void {
    if (message.type === "state") {
        const before = streamState.value;
        streamState.value = message.state ?? before;
        if (message.state === "polling") tell("all");
        return;
    }
    lastMessageAt.value = Date.now();
    remember(message.position);
    if (message.type === "resync") tell("all");
    if (message.type === "hello") {
        // Something may have changed between the first read of a page and the beginning of the stream.
        tell("all");
        streamState.value = "live";
    }
    for (const change of message.changes ?? []) tell(change);
}
