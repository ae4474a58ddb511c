/** API keys of programs: issued, shown once, revoked. */
import { useState } from "preact/hooks";
import { api, body } from "../api/client.ts";
import { minPosition } from "../api/position.ts";
import { ofKind, useResource } from "../api/resource.ts";
import type { Schemas } from "../api/types.ts";
import { Badge } from "../parts/badge.tsx";
import { Field } from "../parts/field.tsx";
import { Pager } from "../parts/pager.tsx";
import { Empty, Shown } from "../parts/states.tsx";
import { Table, type Column } from "../parts/table.tsx";
import { query, to } from "../router/location.ts";
import { may } from "../session/session.ts";
import { at } from "../time/clock.ts";
import { Time } from "../time/time.tsx";
import { Ask } from "./ask.tsx";
import { FormDialog } from "./form.tsx";
import { Once } from "./once.tsx";
import { Roles } from "./roles.tsx";

const PAGE_ROWS = 50;

type Key = Schemas["ApiKeyBody"];

export function ApiKeys() {
    const cursor = query.value.get("cursor") ?? undefined;
    const [isOpen, setOpen] = useState(false);
    const [secret, setSecret] = useState<{ token: string | null } | null>(null);
    const keys = useResource(`api-keys ${cursor}`, signal =>
        body(api.GET("/api-keys", { signal, params: { query: { cursor, limit: PAGE_ROWS, ...minPosition() } } })), ofKind("api_key"));
    const columns: Column<Key>[] = [
        { title: "Key", cell: row => <><span class="strong">{row.label ?? "no label"}</span> <code class="muted">{row.prefix}…</code></> },
        { title: "State", cell: row => <Badge state={row.status} tone={row.status === "active" ? "ok" : "plain"} /> },
        { title: "Roles", cell: row => row.roles.join(", ") },
        { title: "Last used", cell: row => (row.last_used_at ? <Time at={row.last_used_at} relative /> : <span class="muted">never</span>) },
        { title: "Until", cell: row => (row.expires_at ? <Time at={row.expires_at} relative /> : <span class="muted">no end</span>) },
        { title: "By", cell: row => <>{row.created_by ?? "–"}, <Time at={row.created_at} relative /></> },
        { title: "Actions", cell: row => row.status === "active" && may("admin") && <Ask action={revoke(row)} about={row.label ?? row.prefix} onDone={keys.reload} /> },
    ];
    return (
        <div class="stack">
            {may("admin") && !at.value && <div class="buttons"><button class="primary" onClick={() => setOpen(true)}>Issue a key</button></div>}
            <Shown of={keys}>
                {list => list.items.length === 0 ? <Empty title="No program has a key"><pre class="cli">waybill key create --label ci --roles operator</pre></Empty> : (
                    <>
                        <Table caption="API keys" columns={columns} rows={list.items} id={row => row.key_id} />
                        <Pager next={list.next_cursor} shown={list.items.length} />
                    </>
                )}
            </Shown>
            {isOpen && (
                <Issue onClose={() => setOpen(false)} onDone={token => {
                    setOpen(false);
                    setSecret({ token });
                    keys.reload();
                }} />
            )}
            {secret && <Once title="The new API key" secret={secret.token} hint={<>Programs send it in the header <code>Authorization: Bearer …</code></>} onClose={() => setSecret(null)} />}
        </div>
    );
}

function revoke(key: Key) {
    return {
        command: "revoke", label: "Revoke", tone: "danger" as const, needsReason: true, request: { method: "DELETE" as const, path: to`/api-keys/${key.key_id}` },
        cli: `waybill key revoke ${key.key_id}`,
        explains: <p>Programs with the key {key.label ?? ""} <code>{key.prefix}…</code> are refused within a second. This can't be undone.</p>,
    };
}

function Issue({ onClose, onDone }: { onClose: () => void; onDone: (token: string | null) => void }) {
    const [label, setLabel] = useState("");
    const [roles, setRoles] = useState<string[]>(["viewer"]);
    const [until, setUntil] = useState("");
    const wanted = { ...(label ? { label } : {}), roles, ...(until ? { expires_at: new Date(`${until}T00:00:00Z`).toISOString() } : {}) };
    return (
        <FormDialog title="Issue an API key" label="Issue" isReady={roles.length > 0} onClose={onClose} command={{ method: "POST", path: "/api-keys", body: wanted }}
            onDone={sent => onDone(typeof sent.token === "string" ? sent.token : null)}>
            {error => (
                <>
                    <Field label="Label" value={label} onInput={setLabel} error={error("label")} hint="For what it is." />
                    <Roles chosen={roles} onChange={setRoles} />
                    <Field label="Until (UTC)" type="date" value={until} onInput={setUntil} error={error("expires_at")} hint="Empty: until it is revoked." />
                </>
            )}
        </FormDialog>
    );
}
