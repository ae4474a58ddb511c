/** All tenants, for platform admins. */
import { useState } from "preact/hooks";
import { api, body } from "../api/client.ts";
import { minPosition } from "../api/position.ts";
import { ofKind, useResource } from "../api/resource.ts";
import type { Schemas } from "../api/types.ts";
import type { Action } from "../parts/action.tsx";
import { Badge } from "../parts/badge.tsx";
import { Check, Field } from "../parts/field.tsx";
import { Pager } from "../parts/pager.tsx";
import { Shown } from "../parts/states.tsx";
import { Table, type Column } from "../parts/table.tsx";
import { query, to } from "../router/location.ts";
import { at } from "../time/clock.ts";
import { Time } from "../time/time.tsx";
import { Ask } from "./ask.tsx";
import { FormDialog } from "./form.tsx";

const PAGE_ROWS = 50;

type Tenant = Schemas["TenantBody"];

export function Tenants() {
    const cursor = query.value.get("cursor") ?? undefined;
    const [isOpen, setOpen] = useState(false);
    const tenants = useResource(`tenants ${cursor}`, signal =>
        body(api.GET("/tenants", { signal, params: { query: { cursor, limit: PAGE_ROWS, ...minPosition() } } })), ofKind("tenant"));
    const columns: Column<Tenant>[] = [
        { title: "Tenant", cell: row => <>{row.name && <span class="strong">{row.name} </span>}<code>{row.tenant_id}</code></> },
        { title: "State", cell: row => <><Badge state={row.status} tone={row.status === "closed" ? "plain" : row.status === "active" ? "ok" : "warn"} /> {row.frozen && <Badge state="frozen" />}</> },
        { title: "Made", cell: row => <><Time at={row.created_at} relative /> by {row.created_by ?? "–"}</> },
        { title: "Actions", cell: row => (
            <div class="buttons">{actions(row).map(action => <Ask key={action.command} action={action} about={row.tenant_id} onDone={tenants.reload} />)}</div>
        ) },
    ];
    return (
        <div class="stack">
            {!at.value && <div class="buttons"><button class="primary" onClick={() => setOpen(true)}>New tenant</button></div>}
            <Shown of={tenants}>
                {list => (
                    <>
                        <Table caption="Tenants" columns={columns} rows={list.items} id={row => row.tenant_id} />
                        <Pager next={list.next_cursor} shown={list.items.length} />
                    </>
                )}
            </Shown>
            {isOpen && (
                <NewTenant onClose={() => setOpen(false)} onDone={() => {
                    setOpen(false);
                    tenants.reload();
                }} />
            )}
        </div>
    );
}

function actions(tenant: Tenant): Action[] {
    const id = tenant.tenant_id;
    if (tenant.status === "closed") return [];
    const close: Action = {
        command: "close", label: "Close", tone: "danger", needsReason: true, typed: id, request: { method: "DELETE", path: to`/tenants/${id}` }, cli: `waybill tenant close ${id}`,
        explains: <p>For ever: callers and devices are refused, and the bytes of its firmware and its secrets are removed. Its history stays.</p>,
    };
    const suspend: Action = {
        command: "suspend", label: "Suspend", tone: "danger", needsReason: true, typed: id, request: { method: "POST", path: to`/tenants/${id}/suspend` }, cli: `waybill tenant suspend ${id}`,
        explains: <p>Its callers are refused, and nothing goes out to its devices.</p>,
    };
    const reinstate: Action = {
        command: "reinstate", label: "Reinstate", needsReason: true, request: { method: "POST", path: to`/tenants/${id}/reinstate` }, cli: `waybill tenant reinstate ${id}`,
        explains: <p>Its callers are served again, and its campaigns go on.</p>,
    };
    return tenant.status === "suspended" ? [reinstate, close] : [suspend, close];
}

function NewTenant({ onClose, onDone }: { onClose: () => void; onDone: () => void }) {
    const [id, setId] = useState("");
    const [name, setName] = useState("");
    const [isApproved, setApproved] = useState(false);
    return (
        <FormDialog title="New tenant" label="Create" isReady={id !== ""} onClose={onClose} onDone={onDone}
            command={{ method: "POST", path: "/tenants", body: { tenant_id: id, ...(name ? { name } : {}), ...(isApproved ? { rules: { require_approval: true } } : {}) } }}>
            {error => (
                <>
                    <Field label="Id" value={id} onInput={setId} error={error("tenant_id")} hint="Lower-case letters, digits and -. It never changes." />
                    <Field label="Name" value={name} onInput={setName} error={error("name")} />
                    <Check label="Every campaign needs an approval" checked={isApproved} onChange={setApproved} />
                </>
            )}
        </FormDialog>
    );
}
