/** Commands: asked for once, also when they are sent twice, and read back at the position where they are. */
import { asProblem, TIMEOUT_MS } from "./client.ts";
import { remember } from "./position.ts";
import { Problem, problemOf, unreachable } from "./problem.ts";

export interface Command {
    method: "POST" | "PUT" | "PATCH" | "DELETE";
    /** Below `/api/v1`, with encoded ids. */
    path: string;
    body?: object;
    /** The version that the command is for; the service refuses it when there is a later one. */
    ifVersion?: number | undefined;
}

export interface Sent {
    position?: string;
    [field: string]: unknown;
}

/** A key for all attempts of one command. */
export function newKey(): string {
    const bytes = crypto.getRandomValues(new Uint8Array(16));
    return Array.from(bytes, byte => byte.toString(16).padStart(2, "0")).join("");
}

/** Sends a command. With `dryRun` the service says what would happen, and nothing does. */
export async function send(command: Command, { key = newKey(), dryRun = false } = {}): Promise<Sent> {
    const headers: Record<string, string> = { "content-type": "application/json" };
    if (!dryRun) headers["idempotency-key"] = key;
    if (command.ifVersion !== undefined) headers["if-match"] = `"${command.ifVersion}"`;
    const url = `/api/v1${command.path}${dryRun ? (command.path.includes("?") ? "&" : "?") + "dry_run=true" : ""}`;
    const signal = AbortSignal.timeout(TIMEOUT_MS);
    const request = { method: command.method, headers, body: JSON.stringify(command.body ?? {}), credentials: "same-origin" as const, signal };
    let response: Response;
    try {
        response = await fetch(url, request);
    } catch {
        throw unreachable();
    }
    const reply: unknown = await response.json().catch(() => null);
    if (!response.ok) throw problemOf(response.status, reply);
    const sent = (reply ?? {}) as Sent;
    remember(sent.position);
    return sent;
}

/** The same, with the problem in place of a throw. */
export async function tried(command: Command, options: { key?: string; dryRun?: boolean } = {}): Promise<Sent | Problem> {
    try {
        return await send(command, options);
    } catch (thrown) {
        return asProblem(thrown);
    }
}
