/** The public API, typed by its description. A reply that is no success becomes a thrown problem. */
import type { Client } from "openapi-fetch";
import { Problem, problemOf, unreachable } from "./problem.ts";
import type { Paths } from "./types.ts";

/** Longest wait for any reply but an upload's, in milliseconds; the service itself takes at most 30 s. */
export const TIMEOUT_MS = 35_000;

const signedOut = new Set<() => void>();

/** Calls a function when a reply says that the session has ended. */
export function onSignedOut(listener: () => void): void {
    signedOut.add(listener);
}

interface Options {
    /** In front of the path; `/api/v1` if nothing is said. */
    baseUrl?: string;
    params?: { path?: Record<string, string | number>; query?: Record<string, unknown> };
    body?: unknown;
    signal?: AbortSignal;
}

/** The address of a request: a list gives a parameter for each of its values, what is missing gives none. */
function address(path: string, { baseUrl = "/api/v1", params = {} }: Options): string {
    const filled = path.replace(/\{(\w+)\}/g, (_, name: string) => encodeURIComponent(String(params.path?.[name] ?? "")));
    const query = new URLSearchParams();
    for (const [name, value] of Object.entries(params.query ?? {})) {
        for (const one of Array.isArray(value) ? value : [value]) if (one !== undefined && one !== null) query.append(name, String(one));
    }
    return `${baseUrl.replace(/\/$/, "")}${filled}${query.size > 0 ? `?${query}` : ""}`;
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
