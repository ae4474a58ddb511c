/** What an event is about, with the page that shows it. */
import type { Schemas } from "../api/types.ts";
import { href, to } from "../router/location.ts";
import { words } from "../time/format.ts";

export type Item = Schemas["AuditBody"]["items"][number];

/** Pages of aggregates by their ids. */
const PAGES: Record<string, (id: string) => string> = {
    api_key: () => href("/settings", { tab: "API keys" }),
    campaign: id => href(to`/campaigns/${id}`),
    device: id => href(to`/devices/${id}`),
    firmware: id => href(to`/firmware/${id}`),
    group: id => href("/devices", { group: id }),
    member: () => href("/settings", { tab: "Members" }),
    registration_token: () => href("/settings", { tab: "Registration" }),
    tenant: () => href("/settings"),
};

/** What people call the aggregate: for members and groups the id is a hash, the event has the name. */
function name(item: Item): string {
    const event = (item.event ?? {}) as Record<string, unknown>;
    if (item.aggregate === "member" && typeof event.member === "string") return event.member;
    return item.aggregate_id;
}

export function Subject({ item }: { item: Item }) {
    const page = PAGES[item.aggregate]?.(item.aggregate_id);
    const shown = name(item);
    const short = shown.length > 24 ? `${shown.slice(0, 13)}…` : shown;
    return (
        <>
            <span class="muted">{words(item.aggregate)}</span>{" "}
            {page ? <a href={page} title={shown}>{short}</a> : <span title={shown}>{short}</span>}
        </>
    );
}
