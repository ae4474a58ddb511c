/** What only some roles may read: the others are told who may, and nothing is asked for. */
import type { ComponentChildren } from "preact";
import { may } from "../session/session.ts";

export function Only({ role, who, children }: { role: string; who: string; children: ComponentChildren }) {
    if (may(role)) return <>{children}</>;
    return <p class="notice"><span><span aria-hidden="true">· </span>{who} see and change this.</span></p>;
}
