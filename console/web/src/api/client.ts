/** The public API, typed by its description. A reply that is no success becomes a thrown problem. */
import createClient from "openapi-fetch";
import { Problem, problemOf, unreachable } from "./problem.ts";
import type { Paths } from "./types.ts";

/** Longest wait for any reply but an upload's, in milliseconds; the service itself takes at most 30 s. */
export const TIMEOUT_MS = 35_000;

const signedOut = new Set<() => void>();

/** Calls a function when a reply says that the session has ended. */
export function onSignedOut(listener: () => void): void {
    signedOut.add(listener);
}

/** A reply, or the problem that there is none. */
async function ask(input: Request): Promise<Response> {
    const limit = AbortSignal.timeout(TIMEOUT_MS);
    try {
        return await fetch(input, { signal: AbortSignal.any([input.signal, limit]), credentials: "same-origin" });
    } catch (error) {
        if (input.signal.aborted) throw error;
        throw unreachable();
    }
}

export const api = createClient<Paths>({ baseUrl: "/api/v1", fetch: ask });

interface Answer<T> {
    data?: T;
    error?: unknown;
    response: Response;
}

/** The body of a successful reply. */
export async function body<T>(answer: Promise<Answer<T>>): Promise<T> {
    const { data, error, response } = await answer;
    if (response.ok) return data as T;
    if (response.status === 401) signedOut.forEach(listener => listener());
    throw problemOf(response.status, error);
}

/** What was thrown, as a problem. */
export function asProblem(thrown: unknown): Problem {
    return thrown instanceof Problem ? thrown : new Problem(0, "failed", thrown instanceof Error ? thrown.message : String(thrown));
}
