/** The search box of the devices, their filters, and the filters that are set as chips. */
import { useState } from "preact/hooks";
import { api, body } from "../api/client.ts";
import { ofKind, useResource } from "../api/resource.ts";
import { Field, Select } from "../parts/field.tsx";
import { query, setQuery } from "../router/location.ts";
import { count, words } from "../time/format.ts";
import { SaveFilter } from "./saved_filters.tsx";
import { FILTERS, type Filter, type Filters } from "./filters.ts";

/** Most groups that the filter offers. */
const GROUPS_MAX = 200;

export function useGroups() {
    const groups = useResource("groups", signal => body(api.GET("/groups", { signal, params: { query: { limit: GROUPS_MAX } } })), ofKind("group"));
    return groups.data?.items ?? [];
}

export function groupNames(groups: readonly { group_id: string; name?: string | null }[]): Record<string, string> {
    return Object.fromEntries(groups.map(group => [group.group_id, group.name ?? group.group_id]));
}

function set(name: string, value: string): void {
    setQuery({ [name]: value, cursor: null });
}

/** The value of a filter for people; what was typed is shown as it is. */
function said(filter: Filter, value: string): string {
    return filter.values ? (filter.called?.[value] ?? words(value)) : value;
}

export function Search({ value }: { value: string }) {
    return (
        <div class="device-search">
            <Field label="Find a device" type="search" value={value} placeholder="Its id or name begins with …" autocomplete="off"
                onInput={text => setQuery({ q: text, cursor: null }, { replace: true })} />
        </div>
    );
}

export function FilterBar({ filters }: { filters: Filters }) {
    const groups = useGroups();
    const names = groupNames(groups);
    const chips = FILTERS.filter(filter => filters[filter.name] && filter.name !== "q");
    return (
        <>
            <details class="more-filters">
                <summary>Filters</summary>
                <div class="filters">
                    {FILTERS.filter(filter => filter.name !== "q").map(filter => (
                        <One key={filter.name} filter={filter} value={filters[filter.name] ?? ""} groups={names} />
                    ))}
                </div>
            </details>
            {chips.length > 0 && (
                <ul class="chips" aria-label="Filters that are set">
                    {chips.map(filter => (
                        <li key={filter.name}>
                            <button class="chip" onClick={() => set(filter.name, "")}>
                                {filter.label}: {filter.name === "group" ? (names[filters.group ?? ""] ?? filters.group) : said(filter, filters[filter.name] ?? "")}
                                <span aria-hidden="true"> ✕</span><span class="hidden"> remove</span>
                            </button>
                        </li>
                    ))}
                    <li><SaveFilter /></li>
                </ul>
            )}
        </>
    );
}

function One({ filter, value, groups }: { filter: Filter; value: string; groups: Record<string, string> }) {
    const options = filter.name === "group"
        ? Object.entries(groups).map(([id, label]) => ({ value: id, label }))
        : filter.values?.map(one => ({ value: one, label: filter.called?.[one] ?? words(one) }));
    if (options) {
        return <Select label={filter.label} value={value} onChange={chosen => set(filter.name, chosen)} options={[{ value: "", label: filter.called ? "–" : "any" }, ...options]} />;
    }
    return <Typed key={value} filter={filter} value={value} />;
}

/** A filter that is typed counts when Enter is pressed, because a part of a version or model finds nothing. */
function Typed({ filter, value }: { filter: Filter; value: string }) {
    const [typed, setTyped] = useState(value);
    const [isUsed, setUsed] = useState(false);
    const isVersion = filter.name === "firmware_version";
    const submit = (event: Event): void => {
        event.preventDefault();
        set(filter.name, typed.trim());
    };
    return (
        <form onSubmit={submit} onFocusCapture={() => setUsed(true)}>
            <Field label={filter.label} value={typed} onInput={setTyped} placeholder={filter.hint} list={isVersion ? "reported" : undefined} />
            {isVersion && isUsed && <Reported />}
            <button class="hidden">Apply</button>
        </form>
    );
}

/** The versions that devices report, to choose from. */
function Reported() {
    const found = useResource("versions", signal => body(api.GET("/stats/versions", { signal })));
    return <datalist id="reported">{found.data?.items.map(({ version, devices }) => version && <option key={version} value={version} label={`${count(devices)} devices`} />)}</datalist>;
}

/** Whether anything narrows the list, or the person asks for all. */
export function isAsked(filters: Filters): boolean {
    return Object.keys(filters).length > 0 || query.value.get("all") === "yes" || query.value.has("cursor");
}
