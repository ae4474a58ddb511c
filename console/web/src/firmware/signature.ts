/** Signatures as tools write them, and the parts of an upload that take them. Pure. */

export interface Part {
    name: "signature" | "minisign" | "cosign_bundle";
    text: string;
}

export interface Signature {
    scheme: string;
    sig: string;
    key?: string;
}

/** A file of minisign begins with this. */
const MINISIGN = "untrusted comment:";

function object(text: string): Record<string, unknown> | null {
    try {
        const read: unknown = JSON.parse(text);
        return typeof read === "object" && read !== null && !Array.isArray(read) ? (read as Record<string, unknown>) : null;
    } catch {
        return null;
    }
}

/** The part of an upload for a text; null if it is no signature. */
export function part(text: string): Part | null {
    const trimmed = text.trim();
    if (trimmed.startsWith(MINISIGN)) return { name: "minisign", text };
    const read = object(trimmed);
    if (!read) return null;
    if (typeof read.scheme === "string" && typeof read.sig === "string") return { name: "signature", text: trimmed };
    return "base64Signature" in read || "messageSignature" in read || "mediaType" in read ? { name: "cosign_bundle", text } : null;
}

/** A signature that is added after the upload; a text says why there is none. */
export function later(text: string): Signature | string {
    const found = part(text);
    if (!found) return "This is neither what `waybill firmware sign` prints nor a bundle of cosign.";
    if (found.name === "minisign") return "Signatures of minisign come with the upload only.";
    if (found.name === "cosign_bundle") return { scheme: "cosign-bundle", sig: text };
    const { scheme, sig, key } = JSON.parse(found.text) as Signature;
    return key === undefined ? { scheme, sig } : { scheme, sig, key };
}
