/** Filters of the list of devices. They are the query of the page, with the names that the API gives them. Pure. */

export interface Filter {
    name: string;
    label: string;
    hint?: string;
    /** The only values that it takes, and what they are called, if not by themselves. */
    values?: readonly string[];
    called?: Record<string, string>;
    /** What the filter is called by commands for all devices that match; null if they know no such filter. */
    target: "group" | "device_model" | "device_type" | "hardware_version" | "firmware_version" | "tags" | null;
    /** Holding and releasing know it, too. */
    isForHolds?: boolean;
}

export const FILTERS: readonly Filter[] = [
    { name: "q", label: "Id or name begins with", target: null, isForHolds: true },
    { name: "status", label: "Connection", values: ["online", "offline", "never_seen"], target: null, isForHolds: true },
    { name: "firmware_version", label: "Firmware version", hint: "such as 2.1.0 or <2.0.0", target: "firmware_version" },
    { name: "device_model", label: "Model", target: "device_model" },
    { name: "device_type", label: "Type", target: "device_type" },
    { name: "hardware_version", label: "Hardware", target: "hardware_version" },
    { name: "group", label: "Group", target: "group" },
    { name: "tag", label: "Tags", hint: "site:berlin, floor:2", target: "tags" },
    { name: "owner", label: "Owner", target: null, isForHolds: true },
    { name: "sync_state", label: "Network server", values: ["pending", "synced", "failed", "not_applicable"], target: null },
    { name: "lorawan_dev_eui", label: "DevEUI", target: null },
    { name: "include", label: "Also show", values: ["deleted"], called: { deleted: "decommissioned devices" }, target: null },
];

/** Filters that are set, by name. */
export type Filters = Record<string, string>;

/** What the query of the page asks for. */
export function filtersOf(query: URLSearchParams): Filters {
    return Object.fromEntries(FILTERS.flatMap(({ name }) => {
        const value = query.get(name)?.trim();
        return value ? [[name, value]] : [];
    }));
}

/** `site:berlin, floor:2` as a list. */
export function tagsOf(text: string): string[] {
    return text.split(",").map(tag => tag.trim()).filter(tag => tag !== "");
}

/** The query of the API for filters. */
export function listQuery(filters: Filters): Record<string, string | string[]> {
    const { tag, ...others } = filters;
    return tag ? { ...others, tag: tagsOf(tag) } : others;
}

export interface Target {
    group?: string;
    q?: string;
    status?: string;
    owner?: string;
    target_filters?: Record<string, string | Record<string, string>>;
}

/** The same devices for a command, to hold or release them or for another one; or the labels of the filters that it doesn't know. */
export function targetOf(filters: Filters, isHold: boolean): Target | string[] {
    const isKnown = (filter: Filter): boolean => filter.target !== null || (isHold && filter.isForHolds === true);
    const unknown = FILTERS.filter(filter => filters[filter.name] && !isKnown(filter)).map(filter => filter.label);
    if (unknown.length > 0) return unknown;
    const target: Target = Object.fromEntries(FILTERS.filter(filter => filter.isForHolds && filters[filter.name]).map(filter => [filter.name, filters[filter.name]]));
    const wanted: Record<string, string | Record<string, string>> = {};
    for (const { name, target: called } of FILTERS) {
        const value = filters[name];
        if (!value || !called) continue;
        if (called === "group") target.group = value;
        else if (called === "tags") wanted.tags = Object.fromEntries(tagsOf(value).map(splitTag));
        else wanted[called] = value;
    }
    if (Object.keys(wanted).length > 0) target.target_filters = wanted;
    return target;
}

/** `site:berlin` as key and value. */
export function splitTag(tag: string): [key: string, value: string] {
    const at = tag.indexOf(":");
    return at < 0 ? [tag, ""] : [tag.slice(0, at), tag.slice(at + 1)];
}
