/** The public API, typed by its description. A reply that is no success becomes a thrown problem. */
import type { Client } from "openapi-fetch";
import { address, type Parameters } from "./address.ts";
import { Problem, problemOf, unreachable } from "./problem.ts";
import type { Paths } from "./types.ts";

/** Longest wait for any reply but an upload's, in milliseconds; the service itself takes at most 30 s. */
export const TIMEOUT_MS = 35_000;

const signedOut = new Set<() => void>();

/** Calls a function when a reply says that the session has ended. */
export function onSignedOut(listener: () => void): void {
    signedOut.add(listener);
}

interface Options extends Parameters {
    body?: unknown;
    signal?: AbortSignal;
}

/** A reply, or the problem that there is none. */
async function ask(method: string, path: string, options: Options = {}): Promise<Answer<unknown>> {
    const signal = AbortSignal.any([AbortSignal.timeout(TIMEOUT_MS), ...(options.signal ? [options.signal] : [])]);
    const sent = options.body === undefined ? {} : { body: JSON.stringify(options.body), headers: { "content-type": "application/json" } };
    let response: Response;
    let reply: unknown;
    try {
        response = await fetch(address(path, options), { method, signal, credentials: "same-origin", ...sent });
        const text = await response.text();
        reply = text === "" ? undefined : parsed(text);
    } catch (error) {
        if (options.signal?.aborted) throw error;
        throw unreachable();
    }
    return response.ok ? { data: reply, response } : { error: reply, response };
}

/** Replies of a proxy may be something else than JSON. */
function parsed(text: string): unknown {
    try {
        return JSON.parse(text);
    } catch {
        return text;
    }
}

export const api = {
    GET: (path: string, options?: Options) => ask("GET", path, options),
    POST: (path: string, options?: Options) => ask("POST", path, options),
} as unknown as Pick<Client<Paths>, "GET" | "POST">;

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
