/** The filter of the audit, as the URL has it, and as requests take it. Pure. */
import { localText } from "../time/format.ts";

export const NAMES = ["actor", "aggregate", "type", "from", "to", "correlation_id", "campaign_id", "order", "at_position"] as const;

export type Filter = Partial<Record<(typeof NAMES)[number], string>>;

/** Types of aggregates, as events name them. */
export const AGGREGATES = [
    "device", "campaign", "firmware", "tenant", "group", "member", "api_key", "registration_token", "campaign_plan", "rollout_ledger", "claim",
    "fuota_deployment", "lorawan_profile",
] as const;

export function filterOf(query: URLSearchParams): Filter {
    return Object.fromEntries(NAMES.flatMap(name => {
        const value = query.get(name)?.trim();
        return value ? [[name, value]] : [];
    }));
}

/** Types of events: separated by commas or spaces. */
export function typesOf(text: string | undefined): string[] {
    return (text ?? "").split(/[\s,]+/).filter(type => type !== "");
}

/** The position of a record: without the index of the event in it. */
export function recordOf(position: string): string {
    return position.split(".")[0] ?? position;
}

export interface Wanted {
    actor?: string;
    aggregate?: string;
    type?: string[];
    from?: string;
    to?: string;
    correlation_id?: string;
    campaign_id?: string;
    order?: "asc" | "desc";
    at_position?: string;
}

/** The parameters of a request. While a moment of the past is looked at, later events are left out. */
export function request(filter: Filter, moment: string | null): Wanted {
    const { type, order, at_position, to, ...texts } = filter;
    const until = [to, moment ?? undefined].filter(time => time !== undefined).sort((one, other) => Date.parse(one) - Date.parse(other))[0];
    const types = typesOf(type);
    return {
        ...texts,
        ...(types.length > 0 ? { type: types } : {}),
        ...(order === "asc" ? { order } : {}),
        ...(at_position ? { at_position: recordOf(at_position) } : {}),
        ...(until ? { to: until } : {}),
    };
}

/** The address of the same events as a file. */
export function exportPath(wanted: Wanted, format: "csv" | "ndjson"): string {
    const parameters = new URLSearchParams({ format });
    for (const [name, value] of Object.entries(wanted)) {
        for (const one of Array.isArray(value) ? value : [value]) if (one) parameters.append(name, one);
    }
    return `/api/v1/audit/export?${parameters}`;
}

/** A time as `datetime-local` writes it, in UTC or in the zone of the browser, whose offset is given in minutes. */
export function inputTime(time: string | undefined, offset: number): string {
    return !time || Number.isNaN(Date.parse(time)) ? "" : localText(Date.parse(time), offset);
}

/** The time that was typed there, as RFC 3339. */
export function typedTime(text: string, offset: number): string | null {
    const time = Date.parse(`${text}Z`);
    return Number.isNaN(time) ? null : new Date(time + offset * 60_000).toISOString();
}
