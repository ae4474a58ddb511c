/** Tokens with which devices register themselves. */
import { useState } from "preact/hooks";
import { api, body } from "../api/client.ts";
import { minPosition } from "../api/position.ts";
import { ofKind, useResource } from "../api/resource.ts";
import type { Schemas } from "../api/types.ts";
import { tagsOf } from "../firmware/upload_form.ts";
import { Badge } from "../parts/badge.tsx";
import { Field, Text } from "../parts/field.tsx";
import { Pager } from "../parts/pager.tsx";
import { Empty, Shown } from "../parts/states.tsx";
import { Table, type Column } from "../parts/table.tsx";
import { query, to } from "../router/location.ts";
import { may } from "../session/session.ts";
import { at } from "../time/clock.ts";
import { count } from "../time/format.ts";
import { Time } from "../time/time.tsx";
import { Ask } from "./ask.tsx";
import { FormDialog } from "./form.tsx";
import { Once } from "./once.tsx";

const PAGE_ROWS = 50;

type Token = Schemas["RegistrationTokenBody"];

function limits(token: Token): string {
    const said = [token.device_model && `model ${token.device_model}`, token.device_type && `type ${token.device_type}`, token.id_prefix && `ids ${token.id_prefix}…`];
    return said.filter(Boolean).join(", ") || "any device";
}

export function RegistrationTokens() {
    const cursor = query.value.get("cursor") ?? undefined;
    const [isOpen, setOpen] = useState(false);
    const [secret, setSecret] = useState<{ token: string | null } | null>(null);
    const tokens = useResource(`registration-tokens ${cursor}`, signal =>
        body(api.GET("/registration-tokens", { signal, params: { query: { cursor, limit: PAGE_ROWS, ...minPosition() } } })), ofKind("registration_token"));
    const columns: Column<Token>[] = [
        { title: "For", cell: row => <span class="strong">{limits(row)}</span> },
        { title: "State", cell: row => <Badge state={row.status} tone={row.status === "active" ? "ok" : "plain"} /> },
        { title: "Used", cell: row => `${count(row.devices_used)} of ${count(row.devices_max)}`, isNumber: true },
        { title: "Tags", cell: row => Object.entries(row.tags).map(([tag, value]) => `${tag}=${value}`).join(", ") || "–" },
        { title: "Until", cell: row => <Time at={row.expires_at} relative /> },
        { title: "By", cell: row => <>{row.created_by ?? "–"}, <Time at={row.created_at} relative /></> },
        { title: "Actions", cell: row => row.status === "active" && may("admin") && <Ask action={revoke(row)} about={limits(row)} onDone={tokens.reload} /> },
    ];
    return (
        <div class="stack">
            {may("admin") && !at.value && <div class="buttons"><button class="primary" onClick={() => setOpen(true)}>Issue a token</button></div>}
            <Shown of={tokens}>
                {list => list.items.length === 0 ? (
                    <Empty title="No device can register itself"><pre class="cli">waybill registration-token create --devices-max 100 --device-model MODEL</pre></Empty>
                ) : (
                    <>
                        <Table caption="Registration tokens" columns={columns} rows={list.items} id={row => row.token_id} />
                        <Pager next={list.next_cursor} shown={list.items.length} />
                    </>
                )}
            </Shown>
            {isOpen && (
                <Issue onClose={() => setOpen(false)} onDone={token => {
                    setOpen(false);
                    setSecret({ token });
                    tokens.reload();
                }} />
            )}
            {secret && <Once title="The new registration token" secret={secret.token} hint={<>Devices send it once, with <code>POST /api/v1/device-registrations</code></>} onClose={() => setSecret(null)} />}
        </div>
    );
}

function revoke(token: Token) {
    return {
        command: "revoke", label: "Revoke", tone: "danger" as const, needsReason: true,
        request: { method: "DELETE" as const, path: to`/registration-tokens/${token.token_id}` }, cli: `waybill registration-token revoke ${token.token_id}`,
        explains: <p>No further device registers with it. The {count(token.devices_used)} that have used it stay. This can't be undone.</p>,
    };
}

function Issue({ onClose, onDone }: { onClose: () => void; onDone: (token: string | null) => void }) {
    const [form, setForm] = useState({ devices_max: "100", device_model: "", device_type: "", id_prefix: "", tags: "", until: "" });
    const { devices_max, device_model, device_type, id_prefix, tags, until } = form;
    const texts = Object.fromEntries(Object.entries({ device_model, device_type, id_prefix }).filter(([, text]) => text !== ""));
    const wanted = {
        devices_max: Number(devices_max), ...texts, ...(tags.trim() ? { tags: tagsOf(tags) } : {}),
        ...(until ? { expires_at: new Date(`${until}T00:00:00Z`).toISOString() } : {}),
    };
    return (
        <FormDialog title="Issue a registration token" label="Issue" isReady={/^\d+$/.test(devices_max)} onClose={onClose}
            command={{ method: "POST", path: "/registration-tokens", body: wanted }} onDone={sent => onDone(typeof sent.token === "string" ? sent.token : null)}>
            {error => (
                <>
                    <Field label="Devices, at most" type="number" min={1} max={100_000} value={devices_max} error={error("devices_max")} onInput={value => setForm({ ...form, devices_max: value })} />
                    <div class="pair top">
                        <Field label="Model" value={device_model} hint="Empty: any." error={error("device_model")} onInput={value => setForm({ ...form, device_model: value })} />
                        <Field label="Type" value={device_type} hint="Empty: any." error={error("device_type")} onInput={value => setForm({ ...form, device_type: value })} />
                    </div>
                    <div class="pair top">
                        <Field label="Ids begin with" value={id_prefix} hint="Empty: any." error={error("id_prefix")} onInput={value => setForm({ ...form, id_prefix: value })} />
                        <Field label="Until (UTC)" type="date" value={until} hint="Empty: for 30 days." error={error("expires_at")} onInput={value => setForm({ ...form, until: value })} />
                    </div>
                    <Text label="Tags of the devices" value={tags} hint="One name=value a line." error={error("tags")} onInput={value => setForm({ ...form, tags: value })} />
                </>
            )}
        </FormDialog>
    );
}
