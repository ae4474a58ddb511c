/** The address of a request. Pure. */

export interface Parameters {
    /** In front of the path; `/api/v1` if nothing is said. */
    baseUrl?: string;
    params?: { path?: Record<string, string | number>; query?: Record<string, unknown> };
}

/** A path with its parameters in it. A list gives a parameter for each of its values, what is missing gives none. */
export function address(path: string, { baseUrl = "/api/v1", params = {} }: Parameters): string {
    const filled = path.replace(/\{(\w+)\}/g, (_, name: string) => encodeURIComponent(String(params.path?.[name] ?? "")));
    const query = new URLSearchParams();
    for (const [name, value] of Object.entries(params.query ?? {})) {
        for (const one of Array.isArray(value) ? value : [value]) if (one !== undefined && one !== null) query.append(name, String(one));
    }
    const text = query.toString();
    return `${baseUrl.replace(/\/$/, "")}${filled}${text === "" ? "" : `?${text}`}`;
}
