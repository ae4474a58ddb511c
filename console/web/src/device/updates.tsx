/** All updates of a device; the chosen one with its phases and its log. */
import { api, body } from "../api/client.ts";
import { minPosition } from "../api/position.ts";
import { of, useResource } from "../api/resource.ts";
import type { HistoryItem, Update } from "../api/types.ts";
import { Badge } from "../parts/badge.tsx";
import { Pager } from "../parts/pager.tsx";
import { Empty, Shown } from "../parts/states.tsx";
import { Table, type Column } from "../parts/table.tsx";
import { href, query, to } from "../router/location.ts";
import { words } from "../time/format.ts";
import { Time } from "../time/time.tsx";
import { useUpdates } from "./read.ts";
import { sayCode, sayWait } from "./sentence.ts";
import { UpdateCard } from "./update_card.tsx";

/** Most pieces of a log that are read at once: some 16 KiB each. */
const LOG_PIECES = 50;

export function Updates({ id, events, live }: { id: string; events: readonly HistoryItem[]; live: number | undefined }) {
    const updates = useUpdates(id, query.value.get("cursor") ?? undefined);
    const chosen = query.value.get("update");
    const columns: Column<Update>[] = [
        { title: "No.", cell: row => <a class="strong" href={href(to`/devices/${id}`, { tab: "Updates", update: String(row.ordinal) })}>{row.ordinal}</a> },
        { title: "Phase", cell: row => <Badge state={row.phase} /> },
        { title: "What", cell: row => `${words(row.kind)} of ${row.component}` },
        { title: "To", cell: row => <a href={href(to`/firmware/${row.firmware_id}`)}>{row.version}</a> },
        { title: "From", cell: row => row.from_version ?? "–" },
        { title: "Why", cell: row => (row.wait_reason ? sayWait(row.wait_reason) : row.code ? sayCode(row.code) : words(row.reason ?? "")) || "–" },
        { title: "Attempt", cell: row => `${row.attempt}/${row.max_attempts}`, isNumber: true },
        { title: "Queued", cell: row => <Time at={row.queued_at} relative /> },
        { title: "Ended", cell: row => <Time at={row.ended_at} relative /> },
    ];
    return (
        <div class="stack">
            {chosen && <One id={id} ordinal={chosen} events={events} isShown={chosen === String(live)} />}
            <Shown of={updates}>
                {list => list.items.length === 0 ? <Empty title="The device has had no update"><pre class="cli">waybill device update {id} --firmware FIRMWARE</pre></Empty> : (
                    <>
                        <Table caption="Updates" columns={columns} rows={list.items} id={row => row.update_id} />
                        <Pager next={list.next_cursor} shown={list.items.length} />
                    </>
                )}
            </Shown>
        </div>
    );
}

/** One update, unless it is shown above as the live one, and its log. */
function One({ id, ordinal, events, isShown }: { id: string; ordinal: string; events: readonly HistoryItem[]; isShown: boolean }) {
    const update = useResource(`update ${id} ${ordinal}`, signal =>
        body(api.GET("/devices/{device_id}/updates/{ordinal}", {
            signal,
            params: { path: { device_id: id, ordinal: Number(ordinal) }, query: minPosition() },
        })), of("device", id));
    return (
        <Shown of={update}>
            {data => (
                <>
                    {!isShown && <UpdateCard update={data} events={events} reload={update.reload} />}
                    <Log id={id} ordinal={ordinal} />
                </>
            )}
        </Shown>
    );
}

/** The log that the device has sent of an update. */
function Log({ id, ordinal }: { id: string; ordinal: string }) {
    const log = useResource(`update-log ${id} ${ordinal}`, signal =>
        body(api.GET("/devices/{device_id}/updates/{ordinal}/log", {
            signal,
            params: { path: { device_id: id, ordinal: Number(ordinal) }, query: { limit: LOG_PIECES, ...minPosition() } },
        })), of("device", id));
    return (
        <details open={(log.data?.items.length ?? 0) > 0}>
            <summary>Log of the device</summary>
            <Shown of={log}>
                {list => list.items.length === 0
                    ? <p class="muted">The device has sent no log of this update.</p>
                    : (
                        <>
                            <pre class="log" tabIndex={0}>{list.items.map(piece => piece.text).join("")}</pre>
                            {list.next_cursor && <p class="muted">The log is longer: <code>waybill api GET /devices/{id}/updates/{ordinal}/log --paginate</code></p>}
                        </>
                    )}
            </Shown>
        </details>
    );
}
