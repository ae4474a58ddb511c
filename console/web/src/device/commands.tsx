/** Commands to a device: run one, and what became of the others. */
import { useState } from "preact/hooks";
import { api, body } from "../api/client.ts";
import { minPosition } from "../api/position.ts";
import { of, useResource } from "../api/resource.ts";
import type { Device, Schemas } from "../api/types.ts";
import { Confirm, type Action } from "../parts/action.tsx";
import { Badge } from "../parts/badge.tsx";
import { Field, Select, Text } from "../parts/field.tsx";
import { Pager } from "../parts/pager.tsx";
import { Empty, Shown } from "../parts/states.tsx";
import { Table, type Column } from "../parts/table.tsx";
import { query, to } from "../router/location.ts";
import { may } from "../session/session.ts";
import { words } from "../time/format.ts";
import { Time } from "../time/time.tsx";
import { Ask } from "./ask.tsx";

type DeviceCommand = Schemas["DeviceCommandBody"];

const PAGE_ROWS = 50;
const KNOWN = ["report", "reboot", "collect_logs"];
const OTHER = "another";

export function Commands({ device }: { device: Device }) {
    const id = device.device_id;
    const cursor = query.value.get("cursor") ?? undefined;
    const [isOpen, setOpen] = useState(false);
    const [cancelled, setCancelled] = useState<DeviceCommand | null>(null);
    const commands = useResource(`commands ${id} ${cursor}`, signal =>
        body(api.GET("/devices/{device_id}/commands", {
            signal,
            params: { path: { device_id: id }, query: { cursor, limit: PAGE_ROWS, ...minPosition() } },
        })), of("device", id));
    const done = (): void => {
        setOpen(false);
        setCancelled(null);
        commands.reload();
    };
    const isAllowed = device.allowed_commands?.includes("command");
    const columns: Column<DeviceCommand>[] = [
        { title: "No.", cell: row => row.n, isNumber: true },
        { title: "Command", cell: row => <><code>{row.name}</code> <Given row={row} /></> },
        { title: "State", cell: row => <Badge state={row.state} tone={row.state === "done" ? "ok" : undefined} /> },
        { title: "What the device says", cell: row => <Said row={row} /> },
        { title: "By", cell: row => row.created_by ?? "–" },
        { title: "Sent", cell: row => <Time at={row.sent_at ?? row.queued_at} relative /> },
        { title: "Ended", cell: row => (row.ended_at ? <Time at={row.ended_at} relative /> : <span class="muted">expires <Time at={row.expires_at} relative /></span>) },
        ...(may("operator") ? [{
            title: "Do",
            cell: (row: DeviceCommand) => (row.allowed_commands.includes("cancel") ? <button onClick={() => setCancelled(row)}>Cancel</button> : "–"),
        }] : []),
    ];
    const cancel: Action | null = cancelled && {
        command: "cancel", label: `Cancel command ${cancelled.n}`, explains: <p>The device may have begun with it: then it ends as it ends.</p>,
        request: { method: "POST", path: to`/devices/${id}/commands/${String(cancelled.n)}/cancel` }, tone: "danger",
    };
    return (
        <div class="stack">
            {may("operator") && (isAllowed
                ? <div class="buttons" data-actions><button class="primary" onClick={() => setOpen(true)}>Run a command</button></div>
                : device.why_not?.command && <p class="muted">No command can be sent: {device.why_not.command.detail}.</p>)}
            <Shown of={commands}>
                {list => list.items.length === 0 ? <Empty title="No command was sent to the device" /> : (
                    <>
                        <Table caption="Commands" columns={columns} rows={list.items} id={row => String(row.n)} />
                        <Pager next={list.next_cursor} shown={list.items.length} />
                    </>
                )}
            </Shown>
            {isOpen && <Run id={id} onClose={() => setOpen(false)} onTaken={done} />}
            {cancel && <Confirm action={cancel} onClose={() => setCancelled(null)} onTaken={done} />}
        </div>
    );
}

function Given({ row }: { row: DeviceCommand }) {
    return Object.keys(row.params).length === 0 ? null : <details><summary>with</summary><pre>{JSON.stringify(row.params, null, 2)}</pre></details>;
}

function Said({ row }: { row: DeviceCommand }) {
    const said = [row.code && words(row.code), row.message, row.reason && words(row.reason), row.late_status && `later: ${row.late_status}`].filter(Boolean).join(" · ");
    if (!row.result && !said) return <span class="muted">–</span>;
    return (
        <>
            {said}
            {row.result && <details><summary>Result</summary><pre>{JSON.stringify(row.result, null, 2)}</pre></details>}
        </>
    );
}

function Run({ id, onClose, onTaken }: { id: string; onClose: () => void; onTaken: () => void }) {
    const [known, setKnown] = useState("report");
    const [own, setOwn] = useState("");
    const [params, setParams] = useState("");
    const name = known === OTHER ? own.trim() : known;
    const given = readParams(params);
    return (
        <Ask title={`Run a command on ${id}`} verb="Run" onClose={onClose} onTaken={onTaken} cli={name ? `waybill device run ${id} ${name}` : undefined}
            request={() => (name && given !== null ? { method: "POST", path: to`/devices/${id}/commands`, body: { name, ...(given ? { params: given } : {}) } } : null)}>
            {errors => (
                <>
                    <Select label="Command" value={known} onChange={setKnown} options={[...KNOWN.map(value => ({ value, label: words(value) })), { value: OTHER, label: "another one …" }]} />
                    {known === OTHER && <Field label="Its name" value={own} onInput={setOwn} error={errors.name} hint="One that the firmware knows." />}
                    <Text label="Parameters" value={params} onInput={setParams} error={given === null ? "This is no JSON object." : errors.params}
                        hint="A JSON object, or nothing. No secrets: they are kept, and viewers see them." />
                </>
            )}
        </Ask>
    );
}

/** The object; undefined if there is none, null if it isn't one. */
function readParams(text: string): object | undefined | null {
    if (text.trim() === "") return undefined;
    try {
        const read: unknown = JSON.parse(text);
        return typeof read === "object" && read !== null && !Array.isArray(read) ? read : null;
    } catch {
        return null;
    }
}
