/** Messages of devices that could not be processed. */
import { api, body } from "../api/client.ts";
import { minPosition } from "../api/position.ts";
import { useResource } from "../api/resource.ts";
import type { Schemas } from "../api/types.ts";
import { Field, Select } from "../parts/field.tsx";
import { Pager } from "../parts/pager.tsx";
import { Empty, Shown } from "../parts/states.tsx";
import { Table, type Column } from "../parts/table.tsx";
import { href, query, setQuery, to } from "../router/location.ts";
import { bytes, words } from "../time/format.ts";
import { Time } from "../time/time.tsx";

const PAGE_ROWS = 50;
const REASONS = [
    "malformed", "unknown_topic", "no_such_device", "device_decommissioned", "no_such_update", "no_such_attempt", "no_such_command", "partly_ignored",
    "qos_0", "retained", "boot_loop", "too_many", "rejected", "broken",
];

type Letter = Schemas["LetterBody"];

const COLUMNS: Column<Letter>[] = [
    { title: "Device", cell: row => (row.device_id ? <a class="strong" href={href(to`/devices/${row.device_id}`)}>{row.device_id}</a> : <span class="muted">not named</span>) },
    { title: "Time", cell: row => <Time at={row.at} /> },
    { title: "Reason", cell: row => <><span class="strong">{words(row.reason ?? "")}</span> {row.detail}</> },
    { title: "Topic", cell: row => <code class="digest">{row.topic}</code> },
    { title: "Message", cell: row => <Payload letter={row} /> },
];

function Payload({ letter }: { letter: Letter }) {
    return (
        <details>
            <summary>{bytes(letter.payload_bytes)}</summary>
            <pre class="cli">{letter.payload}</pre>
            <p class="muted small">
                {letter.payload_encoding}{letter.payload_truncated ? ", cut" : ""}, from {letter.source}, number {letter.id}
            </p>
        </details>
    );
}

export function DeadLetters() {
    const [device, reason, cursor] = ["device_id", "reason", "cursor"].map(name => query.value.get(name) ?? undefined);
    const letters = useResource(`letters ${device} ${reason} ${cursor}`, signal =>
        body(api.GET("/dead-letters", { signal, params: { query: { device_id: device, reason, cursor, limit: PAGE_ROWS, ...minPosition() } } })));
    return (
        <div class="stack">
            <div class="filters">
                <Field label="Device" type="search" value={device ?? ""} onInput={value => setQuery({ device_id: value, cursor: null }, { replace: true })} />
                <Select label="Reason" value={reason ?? ""} options={[{ value: "", label: "any" }, ...REASONS.map(value => ({ value, label: words(value) }))]}
                    onChange={value => setQuery({ reason: value, cursor: null })} />
                <button onClick={letters.reload}>Look again</button>
            </div>
            <Shown of={letters}>
                {list => list.items.length === 0 ? (
                    <Empty title={device || reason ? "No dead letter fits" : "No message was put aside in the last 30 days"}>
                        {(device || reason) && <a class="button" href={href("/health", { tab: "Dead letters" })}>Show all</a>}
                    </Empty>
                ) : (
                    <>
                        <Table caption="Dead letters" columns={COLUMNS} rows={list.items} id={row => String(row.id)} />
                        <Pager next={list.next_cursor} shown={list.items.length} />
                    </>
                )}
            </Shown>
        </div>
    );
}
