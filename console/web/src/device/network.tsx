/** The copy of a device in a LoRaWAN network server, its join keys, and what the server said about it. */
import { useState } from "preact/hooks";
import { api, body } from "../api/client.ts";
import { minPosition } from "../api/position.ts";
import { of, useResource } from "../api/resource.ts";
import type { Device, Schemas } from "../api/types.ts";
import { Confirm, type Action } from "../parts/action.tsx";
import { Badge } from "../parts/badge.tsx";
import { Facts } from "../parts/facts.tsx";
import { Field } from "../parts/field.tsx";
import { Pager } from "../parts/pager.tsx";
import { Empty, Shown } from "../parts/states.tsx";
import { Table, type Column } from "../parts/table.tsx";
import { query, to } from "../router/location.ts";
import { may } from "../session/session.ts";
import { words } from "../time/format.ts";
import { Time } from "../time/time.tsx";
import { Ask } from "./ask.tsx";

type Notice = Schemas["NoticeBody"];

const PAGE_ROWS = 50;
const KEYS = [["nwk_key", "NwkKey (AppKey of LoRaWAN 1.0)"], ["app_key", "AppKey of LoRaWAN 1.1"], ["gen_app_key", "GenAppKey (multicast)"]] as const;
const LEVELS = { info: "plain", warning: "warn", error: "bad" } as const;

const NOTICES: Column<Notice>[] = [
    { title: "At", cell: row => <Time at={row.at} relative /> },
    { title: "Level", cell: row => <Badge state={row.level} tone={LEVELS[row.level as keyof typeof LEVELS] ?? "plain"} /> },
    { title: "Code", cell: row => <code>{row.code}</code> },
    { title: "What it says", cell: row => row.description },
];

export function Network({ device, reload }: { device: Device; reload: () => void }) {
    const id = device.device_id;
    const cursor = query.value.get("cursor") ?? undefined;
    const [isOpen, setOpen] = useState<"sync" | "keys" | null>(null);
    const keys = useResource(`lorawan-keys ${id}`, signal =>
        body(api.GET("/devices/{device_id}/lorawan-keys", { signal, params: { path: { device_id: id }, query: minPosition() } })), of("device", id));
    const notices = useResource(`notices ${id} ${cursor}`, signal =>
        body(api.GET("/devices/{device_id}/network-notices", {
            signal,
            params: { path: { device_id: id }, query: { cursor, limit: PAGE_ROWS, ...minPosition() } },
        })), of("device", id));
    const done = (): void => {
        setOpen(null);
        reload();
        keys.reload();
    };
    const sync: Action = {
        command: "sync", label: "Sync now", tone: "primary", request: { method: "POST", path: to`/devices/${id}/sync` }, cli: `waybill device sync ${id}`,
        explains: <p>The copy is compared with the device and written again. One that was refused is tried again.</p>,
    };
    return (
        <div class="stack">
            <div class="columns">
                <section class="card stack" aria-labelledby="copy">
                    <h2 id="copy">Copy in the network server</h2>
                    <Facts facts={[
                        ["State", <Badge state={device.sync_state} tone={device.sync_state === "synced" ? "ok" : undefined} />],
                        device.sync_error != null && ["Refused because", device.sync_error],
                        ["Enabled there", device.chirpstack_disabled ? "no" : "yes"],
                        device.chirpstack_edited.length > 0 && ["Changed there by somebody", device.chirpstack_edited.map(words).join(", ")],
                        ["DevEUI", device.lorawan_dev_eui && <code>{device.lorawan_dev_eui}</code>],
                        ["JoinEUI", device.join_eui && <code>{device.join_eui}</code>],
                        ["Application", device.chirpstack_app_id],
                        ["Device profile", device.device_profile_id],
                    ]} />
                    {may("operator") && <div class="buttons" data-actions><button onClick={() => setOpen("sync")}>Sync now</button></div>}
                </section>
                <section class="card stack" aria-labelledby="keys">
                    <h2 id="keys">Join keys</h2>
                    <Shown of={keys}>
                        {set => <Facts facts={KEYS.map(([name, label]) => [label, <Badge state={set[name]} tone={set[name] === "set" ? "ok" : "plain"} />])} />}
                    </Shown>
                    <p class="muted small">Keys can be set, never read.</p>
                    {may("operator") && <div class="buttons"><button onClick={() => setOpen("keys")}>Set keys</button></div>}
                </section>
            </div>
            <section class="stack" aria-labelledby="notices">
                <h2 id="notices">What the network server said</h2>
                <Shown of={notices}>
                    {list => list.items.length === 0 ? <Empty title="Nothing yet" /> : (
                        <>
                            <Table caption="Notices" columns={NOTICES} rows={list.items} id={row => `${row.at} ${row.code}`} />
                            <Pager next={list.next_cursor} shown={list.items.length} />
                        </>
                    )}
                </Shown>
            </section>
            {isOpen === "sync" && <Confirm action={sync} onClose={() => setOpen(null)} onTaken={done} />}
            {isOpen === "keys" && <SetKeys id={id} onClose={() => setOpen(null)} onTaken={done} />}
        </div>
    );
}

function SetKeys({ id, onClose, onTaken }: { id: string; onClose: () => void; onTaken: () => void }) {
    const [filled, setFilled] = useState<Record<string, string>>({});
    const body = Object.fromEntries(Object.entries(filled).map(([name, value]) => [name, value.trim()]).filter(([, value]) => value !== ""));
    return (
        <Ask title={`Join keys of ${id}`} verb="Set" onClose={onClose} onTaken={onTaken}
            request={() => (Object.keys(body).length > 0 ? { method: "PUT", path: to`/devices/${id}/lorawan-keys`, body } : null)}>
            {errors => (
                <>
                    {KEYS.map(([name, label]) => (
                        <Field key={name} label={label} type="password" autocomplete="off" value={filled[name] ?? ""} error={errors[name]}
                            onInput={value => setFilled(before => ({ ...before, [name]: value }))} hint="32 hexadecimal digits" />
                    ))}
                </>
            )}
        </Ask>
    );
}
