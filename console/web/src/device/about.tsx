/** What is known of a device beside its versions, its groups, and what it ran before. */
import { useState } from "preact/hooks";
import { api, body } from "../api/client.ts";
import { minPosition, shortPosition } from "../api/position.ts";
import { of, useResource } from "../api/resource.ts";
import type { Device, Schemas } from "../api/types.ts";
import { Confirm, type Action } from "../parts/action.tsx";
import { Badge } from "../parts/badge.tsx";
import { Facts } from "../parts/facts.tsx";
import { Select } from "../parts/field.tsx";
import { Empty, Shown } from "../parts/states.tsx";
import { Table, type Column } from "../parts/table.tsx";
import { href, to } from "../router/location.ts";
import { may } from "../session/session.ts";
import { at } from "../time/clock.ts";
import { duration, words } from "../time/format.ts";
import { Time } from "../time/time.tsx";
import { Ask } from "./ask.tsx";
import { groupNames, useGroups } from "./filter_bar.tsx";

type Past = Schemas["FirmwareHistoryItem"];

/** Most changes of versions that are shown. */
const VERSIONS_MAX = 50;

export function About({ device, reload }: { device: Device; reload: () => void }) {
    const attributes = Object.entries(device.attributes);
    return (
        <section class="card stack" aria-labelledby="about">
            <h2 id="about">About it</h2>
            <Facts facts={[
                ["Id", <code>{device.device_id}</code>],
                ["Name", device.name],
                ["Model", device.device_model && <a href={href("/devices", { device_model: device.device_model })}>{device.device_model}</a>],
                ["Type", device.device_type],
                ["Hardware", device.hardware_version],
                device.manufacturer != null && ["Manufacturer", device.manufacturer],
                device.owner != null && ["Owner", device.owner],
                device.timezone != null && ["Time zone", device.timezone],
                ["Reached over", device.transport],
                device.contact_interval_s ? ["Makes contact every", duration(device.contact_interval_s)] : null,
                device.battery_level != null && ["Battery", `${device.battery_level} %`],
                device.signal_strength != null && ["Signal", `${device.signal_strength} dBm`],
                ["Last seen", <Time at={device.last_seen} />],
                ["Registered", <Time at={device.registered_at} />],
                ["Tags", <Tags tags={device.tags} />],
                ["Groups", at.value ? <span class="muted">not known for the past</span> : <Groups device={device} reload={reload} />],
                attributes.length > 0 && ["Says of itself", <Tags tags={device.attributes} isPlain />],
            ]} />
        </section>
    );
}

function Tags({ tags, isPlain = false }: { tags: Record<string, string>; isPlain?: boolean }) {
    const all = Object.entries(tags);
    if (all.length === 0) return <span class="muted">–</span>;
    return (
        <span class="tags">
            {all.map(([key, value]) => isPlain
                ? <span key={key} class="tag">{key}: {value}</span>
                : <a key={key} class="tag" href={href("/devices", { tag: `${key}:${value}` })}>{key}: {value}</a>)}
        </span>
    );
}

/** The static groups of a device: it can leave them, and become a member of others. */
function Groups({ device, reload }: { device: Device; reload: () => void }) {
    const groups = useGroups();
    const names = groupNames(groups);
    const [left, setLeft] = useState<string | null>(null);
    const [isOpen, setOpen] = useState(false);
    const [chosen, setChosen] = useState("");
    const id = device.device_id;
    const mine = device.groups ?? [];
    const others = groups.filter(group => group.kind === "static" && !mine.includes(group.group_id));
    const leave: Action | null = left === null ? null : {
        command: "leave", label: `Leave ${names[left] ?? left}`, explains: <p>Campaigns for this group don't target the device any more.</p>,
        request: { method: "DELETE", path: to`/groups/${left}/members`, body: { device_ids: [id] } },
    };
    const done = (): void => {
        setLeft(null);
        setOpen(false);
        reload();
    };
    return (
        <span class="tags">
            {mine.length === 0 && <span class="muted">none</span>}
            {mine.map(group => (
                <span key={group} class="tag">
                    <a href={href("/devices", { group })}>{names[group] ?? group}</a>
                    {may("operator") && <button class="inline" aria-label={`Leave ${names[group] ?? group}`} onClick={() => setLeft(group)}><span aria-hidden="true">✕</span></button>}
                </span>
            ))}
            {may("operator") && others.length > 0 && device.lifecycle === "active" && <button class="chip" onClick={() => setOpen(true)}>Add to a group</button>}
            {leave && <Confirm action={leave} onClose={() => setLeft(null)} onTaken={done} />}
            {isOpen && (
                <Ask title={`Add ${id} to a group`} verb="Add" onClose={() => setOpen(false)} onTaken={done}
                    request={() => (chosen ? { method: "POST", path: to`/groups/${chosen}/members`, body: { device_ids: [id] } } : null)}>
                    {() => (
                        <Select label="Group" value={chosen} onChange={setChosen}
                            options={[{ value: "", label: "choose" }, ...others.map(group => ({ value: group.group_id, label: group.name ?? group.group_id }))]} />
                    )}
                </Ask>
            )}
        </span>
    );
}

const COLUMNS: Column<Past>[] = [
    { title: "Since", cell: row => <Time at={row.at} /> },
    { title: "Component", cell: row => row.component },
    { title: "Version", cell: row => <span class="strong">{row.to_version ?? "not known"}</span> },
    { title: "Before", cell: row => row.from_version ?? "–" },
    { title: "Because", cell: row => <Badge state={row.cause} tone={row.cause === "confirmed" ? "ok" : row.cause === "regressed" ? "warn" : "plain"} /> },
    { title: "By", cell: row => <By row={row} /> },
    { title: "Position", cell: row => <a href={href("/audit", { at_position: row.position })}>#{shortPosition(row.position)}</a> },
];

function By({ row }: { row: Past }) {
    if (row.campaign_id) return <a href={href(to`/campaigns/${row.campaign_id}`)}>its campaign</a>;
    if (row.update_id) return <>an update of its own</>;
    return <span class="muted">{row.outcome ? words(row.outcome) : "–"}</span>;
}

/** What the device ran, and since when. */
export function Versions({ id }: { id: string }) {
    const moment = at.value;
    const history = useResource(`firmware-history ${id} ${moment}`, signal =>
        body(api.GET("/devices/{device_id}/firmware-history", {
            signal,
            params: { path: { device_id: id }, query: { order: "desc", limit: VERSIONS_MAX, ...(moment ? { to: moment } : minPosition()) } },
        })), moment ? null : of("device", id));
    return (
        <section class="stack" aria-labelledby="versions">
            <h2 id="versions">What it ran</h2>
            <Shown of={history}>
                {list => list.items.length === 0
                    ? <Empty title="Nothing is known of it yet" />
                    : (
                        <>
                            <Table caption="Versions" columns={COLUMNS} rows={list.items} id={row => `${row.position} ${row.component}`} />
                            {list.next_cursor && <p class="muted small">There are more: the last {VERSIONS_MAX} changes are shown.</p>}
                        </>
                    )}
            </Shown>
        </section>
    );
}
