/** Messages of a device that could not be processed. */
import { api, body } from "../api/client.ts";
import { minPosition } from "../api/position.ts";
import { of, useResource } from "../api/resource.ts";
import type { Schemas } from "../api/types.ts";
import { Badge } from "../parts/badge.tsx";
import { Pager } from "../parts/pager.tsx";
import { Empty, Shown } from "../parts/states.tsx";
import { Table, type Column } from "../parts/table.tsx";
import { query } from "../router/location.ts";
import { bytes } from "../time/format.ts";
import { Time } from "../time/time.tsx";

type Letter = Schemas["LetterBody"];

const PAGE_ROWS = 50;

const COLUMNS: Column<Letter>[] = [
    { title: "At", cell: row => <Time at={row.at} relative /> },
    { title: "Reason", cell: row => <Badge state={row.reason ?? "unknown"} tone="warn" /> },
    { title: "What was wrong", cell: row => row.detail },
    { title: "Topic", cell: row => <code>{row.topic}</code> },
    {
        title: "Message",
        cell: row => (
            <details>
                <summary>{bytes(row.payload_bytes)}{row.payload_truncated ? ", cut" : ""}{row.payload_encoding === "base64" ? ", base64" : ""}</summary>
                <pre class="cli">{row.payload}</pre>
            </details>
        ),
    },
];

export function Letters({ id }: { id: string }) {
    const cursor = query.value.get("cursor") ?? undefined;
    const letters = useResource(`letters ${id} ${cursor}`, signal =>
        body(api.GET("/devices/{device_id}/dead-letters", {
            signal,
            params: { path: { device_id: id }, query: { cursor, limit: PAGE_ROWS, ...minPosition() } },
        })), of("device", id));
    return (
        <Shown of={letters}>
            {list => list.items.length === 0 ? <Empty title="All messages of the device could be processed" /> : (
                <>
                    <Table caption="Dead letters" columns={COLUMNS} rows={list.items} id={row => String(row.id)} />
                    <Pager next={list.next_cursor} shown={list.items.length} />
                </>
            )}
        </Shown>
    );
}
