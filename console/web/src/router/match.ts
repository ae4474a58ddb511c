/** Matches paths of the console with patterns such as `/devices/:id`. */

export interface Route<T> {
    pattern: string;
    page: T;
}

export interface Match<T> {
    page: T;
    params: Record<string, string>;
}

/** The first route whose pattern fits; parameters are decoded. */
export function match<T>(routes: readonly Route<T>[], path: string): Match<T> | null {
    const shown = segments(path);
    for (const { pattern, page } of routes) {
        const params = fit(segments(pattern), shown);
        if (params) return { page, params };
    }
    return null;
}

function segments(path: string): string[] {
    return path.split("/").filter(part => part !== "");
}

function fit(pattern: string[], shown: string[]): Record<string, string> | null {
    if (pattern.length !== shown.length) return null;
    const params: Record<string, string> = {};
    for (const [n, wanted] of pattern.entries()) {
        const given = shown[n] ?? "";
        if (!wanted.startsWith(":")) {
            if (wanted !== given) return null;
            continue;
        }
        const decoded = decode(given);
        if (decoded === null) return null;
        params[wanted.slice(1)] = decoded;
    }
    return params;
}

function decode(text: string): string | null {
    try {
        return decodeURIComponent(text);
    } catch {
        return null;
    }
}

/** A query with some parameters changed; null and the empty text remove one. */
export function withQuery(query: string, changes: Record<string, string | null>): string {
    const changed = new URLSearchParams(query);
    for (const [name, value] of Object.entries(changes)) {
        if (value === null || value === "") changed.delete(name);
        else changed.set(name, value);
    }
    const text = changed.toString();
    return text === "" ? "" : `?${text}`;
}
