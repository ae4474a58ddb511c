/** Adds a document to a firmware: an SBOM, a VEX or a provenance. */
import { remember } from "../api/position.ts";
import { problemOf, unreachable } from "../api/problem.ts";
import type { Schemas } from "../api/types.ts";
import { to } from "../router/location.ts";

export interface NewDocument {
    file: File;
    /** Which product of a VEX the firmware is; empty: the service finds it. */
    product: string;
    /** The document in whose place it comes; empty: none. */
    replaces: string;
    reason: string;
    key: string;
    signal: AbortSignal;
}

export async function sendDocument(firmware: string, { file, product, replaces, reason, key, signal }: NewDocument): Promise<Schemas["DocumentBody"]> {
    const form = new FormData();
    form.append("document", file, file.name);
    if (product) form.append("product", product);
    if (replaces) form.append("replaces", replaces);
    const url = `/api/v1${to`/firmware/${firmware}/documents`}${reason ? `?reason=${encodeURIComponent(reason)}` : ""}`;
    const request = { method: "POST", headers: { "idempotency-key": key }, body: form, credentials: "same-origin" as const, signal };
    const response = await fetch(url, request).catch(() => {
        throw unreachable();
    });
    const reply: unknown = await response.json().catch(() => null);
    if (!response.ok) throw problemOf(response.status, reply);
    const sent = reply as Schemas["DocumentBody"] & { position?: string };
    remember(sent.position);
    return sent;
}
