/** Who has signed in. The session is a cookie that scripts can't read; no token is kept here. */
import { signal } from "@preact/signals";
import { api, asProblem, body } from "../api/client.ts";
import { newKey } from "../api/send.ts";
import { Problem, problemOf } from "../api/problem.ts";
import { forgetReplies } from "../api/resource.ts";
import type { Schemas, Session } from "../api/types.ts";

export type Ways = Schemas["SignInWays"];

/** The session; null: nobody has signed in; undefined: not known yet. */
export const session = signal<Session | null | undefined>(undefined);
/** Why it is not known. */
export const sessionProblem = signal<Problem | null>(null);

/** Wait before a service that can't say who has signed in is asked again, in milliseconds. */
const RETRY_MS = 2_000;

/** How people sign in here. */
export const ways = signal<Ways | null>(null);

/** Finds out who has signed in. A browser without a session isn't asked for one: its console would call the answer an error. */
export async function find(): Promise<void> {
    try {
        ways.value = await body(api.GET("/auth/sign-in-ways"));
        session.value = ways.value.shows_session ? await body(api.GET("/auth/session")) : null;
        sessionProblem.value = null;
    } catch (thrown) {
        const problem = asProblem(thrown);
        // 404: this service begins no sessions.
        if (problem.status === 401 || problem.status === 404) {
            sessionProblem.value = null;
            session.value = null;
            return;
        }
        sessionProblem.value = problem;
        if (problem.isPassing) window.setTimeout(find, RETRY_MS);
    }
}

/** What may be done with a role: each includes those before it; auditors only read. */
const ORDER = ["viewer", "operator", "approver", "admin"];

/** Whether the person has at least this role in the whole tenant or for some devices. */
export function may(least: string): boolean {
    const held = [...(session.value?.roles ?? []), ...(session.value?.limited_roles ?? []).map(limited => limited.role)];
    if (least === "auditor") return held.includes("auditor") || held.includes("admin");
    if (least === "platform_admin") return held.includes("platform_admin");
    return held.some(role => ORDER.indexOf(role) >= ORDER.indexOf(least) || (role === "auditor" && least === "viewer"));
}

/** Begins a session with a token or API key, which is forgotten afterwards. */
export async function signInWith(token: string): Promise<void> {
    const headers = { authorization: `Bearer ${token}` };
    const response = await fetch("/api/v1/auth/session", { method: "POST", headers, credentials: "same-origin" });
    if (!response.ok) throw problemOf(response.status, await response.json().catch(() => null));
    forgetReplies();
    await find();
}

/** Begins a session in development, as anybody. */
export async function signInForDevelopment(user: string, tenant: string, roles: string[]): Promise<void> {
    const wanted = { kind: "person", user_id: user, tenant_id: tenant, roles: roles as Schemas["Role"][], expires_in: 12 * 3_600 };
    const { token } = await body(api.POST("/auth/dev-token", { body: wanted }));
    await signInWith(token);
}

/** Ends the session; the browser then visits the provider's page if it has one. */
export async function signOut(): Promise<void> {
    const headers = { "idempotency-key": newKey() };
    const response = await fetch("/api/v1/auth/sign-out", { method: "POST", headers, credentials: "same-origin" });
    const reply = (await response.json().catch(() => null)) as { end_session_url?: string | null } | null;
    forgetReplies();
    session.value = null;
    if (reply?.end_session_url) window.location.assign(reply.end_session_url);
}
