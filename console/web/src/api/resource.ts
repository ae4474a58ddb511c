/**
 * Data of a page: fetched, kept while it is fetched again, and never shown as newer than it is.
 *
 * A resource is read again when a live message names what it shows, when the stream begins again, and while its last read has failed. What was
 * shown before stays, with its age.
 */
import { useEffect, useRef, useState } from "preact/hooks";
import { type Change, onChange } from "../live/messages.ts";
import { asProblem } from "./client.ts";
import type { Problem } from "./problem.ts";

/** Shortest time between two reads of a resource, in milliseconds. */
const REREAD_MS = 1_000;
/** Waits before a failed read is tried again, in milliseconds. */
const RETRY_MS = [1_000, 2_000, 5_000, 10_000] as const;
/** Most replies that are kept for pages that are visited again. */
const KEPT_MAX = 60;

export interface Resource<T> {
    data: T | undefined;
    /** Why the last read failed; what is shown is older then. */
    problem: Problem | undefined;
    /** When what is shown was read, in milliseconds. */
    readAt: number | undefined;
    isLoading: boolean;
    reload: () => void;
}

interface Kept {
    data: unknown;
    readAt: number;
}

const kept = new Map<string, Kept>();

function keep(key: string, reply: Kept): void {
    kept.delete(key);
    kept.set(key, reply);
    const oldest = kept.keys().next().value;
    if (kept.size > KEPT_MAX && oldest !== undefined) kept.delete(oldest);
}

/** Forgets what was read, because somebody else may sign in. */
export function forgetReplies(): void {
    kept.clear();
}

/** Whether a change concerns what a resource shows. */
export type Concerns = (change: Change) => boolean;

export const anything: Concerns = () => true;
export const ofKind = (...kinds: string[]): Concerns => change => kinds.includes(change.subject.kind);
export const of = (kind: string, id: string): Concerns => change =>
    change.subject.kind === kind && (change.subject.id === undefined || change.subject.id === id);

/**
 * Reads something and keeps it current. `key` names what is read, with all parameters; null reads nothing. `live` says which changes make it
 * read again; none if it shows a moment of the past.
 */
export function useResource<T>(
    key: string | null,
    read: (signal: AbortSignal) => Promise<T>,
    live: Concerns | null = null,
): Resource<T> {
    const [state, setState] = useState<Omit<Resource<T>, "reload"> & { key: string | null }>(() => fresh(key));
    const reader = useRef(read);
    reader.current = read;
    const concerns = useRef(live);
    concerns.current = live;
    const again = useRef<() => void>(() => {});

    useEffect(() => {
        setState(fresh<T>(key));
        if (key === null) return;
        const running = start<T>(key, signal => reader.current(signal), change => setState(now => ({ ...now, ...change, key })));
        again.current = running.read;
        const stop = onChange(change => {
            if (concerns.current && (change === "all" || concerns.current(change))) running.readSoon();
        });
        return () => {
            stop();
            running.stop();
        };
    }, [key]);

    const shown = state.key === key ? state : fresh<T>(key);
    return { ...shown, reload: () => again.current() };
}

function fresh<T>(key: string | null): Omit<Resource<T>, "reload"> & { key: string | null } {
    const found = key === null ? undefined : kept.get(key);
    return { key, data: found?.data as T | undefined, readAt: found?.readAt, problem: undefined, isLoading: key !== null };
}

type Show<T> = (change: Partial<Omit<Resource<T>, "reload">>) => void;

/** Reads once now, and again when asked to; one read at a time. */
function start<T>(key: string, read: (signal: AbortSignal) => Promise<T>, show: Show<T>) {
    const ended = new AbortController();
    let isReading = false;
    let isWanted = false;
    let failures = 0;
    let timer: number | undefined;

    const readNow = async (): Promise<void> => {
        window.clearTimeout(timer);
        timer = undefined;
        if (isReading) {
            isWanted = true;
            return;
        }
        isReading = true;
        show({ isLoading: true });
        try {
            const data = await read(ended.signal);
            if (ended.signal.aborted) return;
            failures = 0;
            const readAt = Date.now();
            keep(key, { data, readAt });
            show({ data, readAt, problem: undefined, isLoading: false });
        } catch (thrown) {
            if (ended.signal.aborted) return;
            const problem = asProblem(thrown);
            show({ problem, isLoading: false });
            if (problem.isPassing) {
                const wait = RETRY_MS[Math.min(failures, RETRY_MS.length - 1)] ?? 10_000;
                failures += 1;
                timer = window.setTimeout(readNow, wait);
            }
        } finally {
            isReading = false;
        }
        if (isWanted && timer === undefined) {
            isWanted = false;
            readSoon();
        }
    };
    const readSoon = (): void => {
        if (isReading) isWanted = true;
        else if (timer === undefined) timer = window.setTimeout(whenSeen, REREAD_MS);
    };
    /** A page that nobody sees reads when it is seen again. The listener is always the same function, so it is added once at most. */
    const whenSeen = (): void => {
        timer = undefined;
        if (!document.hidden) return void readNow();
        document.addEventListener("visibilitychange", readSoon, { once: true, signal: ended.signal });
    };

    void readNow();
    return {
        read: () => void readNow(),
        readSoon,
        stop: () => {
            window.clearTimeout(timer);
            ended.abort();
        },
    };
}
