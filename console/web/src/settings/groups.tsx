/** Groups of devices: static ones by their members, dynamic ones by a filter. */
import { useState } from "preact/hooks";
import { api, body } from "../api/client.ts";
import { minPosition } from "../api/position.ts";
import { ofKind, useResource } from "../api/resource.ts";
import type { Group } from "../api/types.ts";
import { Select } from "../parts/field.tsx";
import { Pager } from "../parts/pager.tsx";
import { Empty, Shown } from "../parts/states.tsx";
import { Table, type Column } from "../parts/table.tsx";
import { href, query, setQuery, to } from "../router/location.ts";
import { may } from "../session/session.ts";
import { at } from "../time/clock.ts";
import { several } from "../time/format.ts";
import { Ask } from "./ask.tsx";
import { sayFilter } from "./group_filter.ts";
import { GroupForm } from "./group_form.tsx";
import { GroupMembers } from "./group_members.tsx";

const PAGE_ROWS = 50;

type Open = { form: Group | null } | { members: Group } | null;

export function Groups() {
    const [cursor, kind] = [query.value.get("cursor") ?? undefined, query.value.get("kind") ?? undefined];
    const [open, setOpen] = useState<Open>(null);
    const groups = useResource(`groups ${kind} ${cursor}`, signal =>
        body(api.GET("/groups", { signal, params: { query: { kind, cursor, limit: PAGE_ROWS, ...minPosition() } } })), ofKind("group"));
    const mayChange = may("operator") && !at.value;
    const columns: Column<Group>[] = [
        { title: "Group", cell: row => (
            <>
                <a class="strong" href={href("/devices", { group: row.group_id })}>{row.name ?? row.group_id}</a> <code class="muted">{row.group_id}</code>
                {row.description && <p class="muted small">{row.description}</p>}
            </>
        ) },
        { title: "Devices", cell: row => (row.kind === "static" ? several(row.member_count ?? 0, "device") : <>{sayFilter(row.filter)}</>) },
        { title: "Kind", cell: row => row.kind },
        { title: "By", cell: row => row.created_by ?? "–" },
        { title: "Actions", cell: row => mayChange && (
            <div class="buttons">
                {row.kind === "static" && <button aria-label={`Members: ${row.group_id}`} onClick={() => setOpen({ members: row })}>Members</button>}
                <button aria-label={`Change: ${row.group_id}`} onClick={() => setOpen({ form: row })}>Change</button>
                <Ask action={remove(row)} about={row.group_id} onDone={groups.reload} />
            </div>
        ) },
    ];
    const done = (): void => {
        setOpen(null);
        groups.reload();
    };
    return (
        <div class="stack">
            <div class="filters">
                <Select label="Kind" value={kind ?? ""} options={[{ value: "", label: "any" }, "static", "dynamic"]} onChange={value => setQuery({ kind: value, cursor: null })} />
                {mayChange && <button class="primary" onClick={() => setOpen({ form: null })}>New group</button>}
            </div>
            <Shown of={groups}>
                {list => list.items.length === 0 ? (
                    <Empty title={kind ? "No group fits" : "No group yet"}><pre class="cli">waybill group create --name "Lobby frames" --group-id lobby</pre></Empty>
                ) : (
                    <>
                        <Table caption="Groups" columns={columns} rows={list.items} id={row => row.group_id} />
                        <Pager next={list.next_cursor} shown={list.items.length} />
                    </>
                )}
            </Shown>
            {open && "form" in open && <GroupForm group={open.form} onClose={() => setOpen(null)} onDone={done} />}
            {open && "members" in open && <GroupMembers group={open.members} onClose={() => setOpen(null)} onDone={done} />}
        </div>
    );
}

function remove(group: Group) {
    const id = group.group_id;
    return {
        command: "delete", label: "Delete", tone: "danger" as const, needsReason: true, request: { method: "DELETE" as const, path: to`/groups/${id}` },
        cli: `waybill group delete ${id}`,
        explains: (
            <p>
                The group {group.name ?? id} is gone{group.kind === "static" ? `, with its ${several(group.member_count ?? 0, "membership")}` : ""}. Its devices stay.
                Members whose rights are limited to it lose them for these devices.
            </p>
        ),
    };
}
