/** Where hits of a search lead. Pure. */

export interface Hit {
    kind: string;
    id: string;
    name?: string | null;
    detail?: string | null;
    matched: string;
}

export interface Jump {
    title: string;
    detail?: string | null | undefined;
    path: string;
    parameters?: Record<string, string>;
    /** The heading that it stands below. */
    group: string;
}

const GROUPS: Record<string, string> = {
    device: "Devices", campaign: "Campaigns", firmware: "Firmware", group: "Groups", update: "Updates", correlation: "Requests", event: "Events",
};

function place({ kind, id }: Hit): Pick<Jump, "path" | "parameters"> | null {
    const own = encodeURIComponent(id);
    switch (kind) {
        case "device":
            return { path: `/devices/${own}` };
        case "campaign":
            return { path: `/campaigns/${own}` };
        case "firmware":
            return { path: `/firmware/${own}` };
        case "group":
            return { path: "/devices", parameters: { group: id } };
        case "update": {
            const at = id.lastIndexOf("~");
            return { path: `/devices/${encodeURIComponent(id.slice(0, at))}`, parameters: { tab: "Updates", update: id.slice(at + 1) } };
        }
        case "correlation":
            return { path: "/audit", parameters: { correlation_id: id, view: "tree" } };
        case "event":
            return { path: "/audit", parameters: { record: id } };
        default:
            return null;
    }
}

/** The place of a hit; null for a kind that has no page. */
export function jumpOf(hit: Hit): Jump | null {
    const found = place(hit);
    const title = hit.name && hit.name !== hit.id ? (hit.kind === "device" ? `${hit.id} ${hit.name}` : hit.name) : hit.id;
    return found && { title, detail: hit.detail, group: GROUPS[hit.kind] ?? "", ...found };
}

const WHOLE = ["digest", "eui", "correlation_id", "position"];

/** Whether a hit is what the text names, not something that begins with it. */
function isExact({ id, name, matched }: Hit, text: string): boolean {
    const wanted = text.toLowerCase();
    return matched === "name" ? name?.toLowerCase() === wanted : matched === "id" ? id.toLowerCase() === wanted : WHOLE.includes(matched);
}

/** The only hit that a text names; null if there is none, or several. */
export function exactHit(hits: readonly Hit[], text: string): Hit | null {
    const exact = hits.filter(hit => isExact(hit, text));
    return exact.length === 1 ? (exact[0] ?? null) : null;
}
