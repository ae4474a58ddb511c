/** Sends a file with its metadata. XMLHttpRequest is used because `fetch` doesn't say how much was sent. */
import { remember } from "../api/position.ts";
import { Problem, problemOf, unreachable } from "../api/problem.ts";
import type { Firmware } from "../api/types.ts";
import type { Part } from "./signature.ts";

export interface Upload {
    file: File;
    metadata: Record<string, unknown>;
    signatures: readonly Part[];
    reason: string;
    key: string;
    onProgress: (sent: number, whole: number) => void;
    signal: AbortSignal;
}

export interface Uploaded {
    firmware: Firmware;
    /** The service had the same bytes already. */
    wasThere: boolean;
}

/** Why there is no reply after a cancel. */
export const CANCELLED = "cancelled";

export function sendFile({ file, metadata, signatures, reason, key, onProgress, signal }: Upload): Promise<Uploaded> {
    const form = new FormData();
    form.append("metadata", new Blob([JSON.stringify(metadata)], { type: "application/json" }));
    for (const part of signatures) {
        const type = part.name === "signature" ? "application/json" : "text/plain";
        form.append(part.name, new Blob([part.text], { type }));
    }
    form.append("file", file, file.name);
    const request = new XMLHttpRequest();
    request.open("POST", `/api/v1/firmware${reason ? `?reason=${encodeURIComponent(reason)}` : ""}`);
    request.setRequestHeader("idempotency-key", key);
    request.responseType = "text";
    return new Promise((resolve, reject) => {
        request.upload.onprogress = event => onProgress(event.loaded, event.lengthComputable ? event.total : file.size);
        request.onerror = () => reject(unreachable());
        request.onabort = () => reject(new Problem(0, CANCELLED, "The upload was cancelled; nothing was kept."));
        request.onload = () => {
            const reply = read(request.responseText);
            if (request.status < 200 || request.status >= 300) return reject(problemOf(request.status, reply));
            const firmware = reply as Firmware & { position?: string };
            remember(firmware.position);
            resolve({ firmware, wasThere: request.status === 200 });
        };
        signal.addEventListener("abort", () => request.abort(), { once: true });
        request.send(form);
    });
}

/** Asks whether the metadata is valid before a file is sent: with one byte in its place, so only what is said about fields counts. */
export async function checkMetadata(metadata: Record<string, unknown>, reason: string): Promise<void> {
    const { file_size, checksum_sha256, ...rest } = metadata;
    const form = new FormData();
    form.append("metadata", new Blob([JSON.stringify(rest)], { type: "application/json" }));
    form.append("file", new Blob(["?"]), "check");
    const parameters = new URLSearchParams({ dry_run: "true", ...(reason ? { reason } : {}) });
    const response = await fetch(`/api/v1/firmware?${parameters}`, { method: "POST", body: form, credentials: "same-origin" }).catch(() => null);
    if (response?.status === 422) throw problemOf(422, await response.json().catch(() => null));
}

function read(text: string): unknown {
    try {
        return JSON.parse(text);
    } catch {
        return null;
    }
}

/** Largest file whose digest the browser computes: it must be in memory as a whole. */
const DIGEST_MAX_BYTES = 512 * 1024 * 1024;

/** SHA-256 of a file in hex; null if the browser can't compute it. */
export async function sha256(file: File): Promise<string | null> {
    if (!globalThis.crypto?.subtle || file.size > DIGEST_MAX_BYTES) return null;
    const digest = await crypto.subtle.digest("SHA-256", await file.arrayBuffer());
    return Array.from(new Uint8Array(digest), byte => byte.toString(16).padStart(2, "0")).join("");
}
