/** Changes of a tenant's rules and quotas: only what differs is sent. Pure. */

export interface Rules {
    require_reason?: boolean;
    require_approval?: boolean;
    require_digest_report?: boolean;
    require_signatures?: number;
}

export function changed<T extends object>(before: T, after: T): Partial<T> {
    return Object.fromEntries(Object.entries(after).filter(([name, value]) => (before as Record<string, unknown>)[name] !== value)) as Partial<T>;
}

/** A quota as it was typed; empty: none. Null if it is no whole number. */
export function quota(text: string): { value: number | null } | null {
    const typed = text.trim();
    if (typed === "") return { value: null };
    return /^\d{1,15}$/.test(typed) ? { value: Number(typed) } : null;
}

export interface Grant {
    role: string;
    groups?: string[];
    own?: boolean;
}

/** A grant as a sentence. */
export function sayGrant(grant: Grant): string {
    const limits = [
        ...(grant.groups && grant.groups.length > 0 ? [`devices of ${grant.groups.join(", ")}`] : []),
        ...(grant.own ? ["own devices"] : []),
    ];
    return limits.length === 0 ? `${grant.role} of the whole tenant` : `${grant.role} of ${limits.join(" and ")}`;
}

/** Texts separated by commas, spaces or lines. */
export function listOf(text: string): string[] {
    return text.split(/[\s,]+/).filter(one => one !== "");
}
