/** The same request for a terminal. Pure. */
import type { CampaignRequest } from "../api/types.ts";

/** A text as one word of a shell. */
export function quoted(text: string): string {
    return /^[A-Za-z0-9_./:@%+,=-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

/** With curl; the token comes from the environment. */
export function curl(request: CampaignRequest, origin: string): string {
    const body = quoted(JSON.stringify(request));
    return `curl -X POST ${origin}/api/v1/campaigns -H "Authorization: Bearer $TOKEN" -H 'content-type: application/json' \\\n  -d ${body}`;
}

/** With Waybill's own command line: each field is a flag. */
export function cli(request: CampaignRequest): string {
    const flags = Object.entries(request).flatMap(([name, value]) => flag(name, value));
    return ["waybill campaign create", ...flags].join(" \\\n  ");
}

function flag(name: string, value: unknown): string[] {
    const option = `--${name.replaceAll("_", "-")}`;
    if (Array.isArray(value)) {
        const isTexts = value.every(item => typeof item === "string");
        return [`${option} ${quoted(isTexts ? value.join(",") : JSON.stringify(value))}`];
    }
    if (typeof value === "object" && value !== null) return pairs(value as Record<string, unknown>, "").map(pair => `${option} ${quoted(pair)}`);
    return [typeof value === "boolean" ? `${option}=${value}` : `${option} ${quoted(String(value))}`];
}

/** `device_model=7`, `tags.site=12`. */
function pairs(object: Record<string, unknown>, before: string): string[] {
    return Object.entries(object).flatMap(([name, value]) =>
        typeof value === "object" && value !== null ? pairs(value as Record<string, unknown>, `${before}${name}.`) : [`${before}${name}=${value}`]);
}
