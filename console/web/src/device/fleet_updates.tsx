/** Updates of all devices, the newest first. */
import { api, body } from "../api/client.ts";
import { minPosition } from "../api/position.ts";
import { ofKind, useResource } from "../api/resource.ts";
import type { Update } from "../api/types.ts";
import { Badge } from "../parts/badge.tsx";
import { Select } from "../parts/field.tsx";
import { Pager } from "../parts/pager.tsx";
import { Empty, Shown } from "../parts/states.tsx";
import { Table, type Column } from "../parts/table.tsx";
import { href, query, setQuery, to } from "../router/location.ts";
import { words } from "../time/format.ts";
import { Time } from "../time/time.tsx";
import { sayCode, sayWait } from "./sentence.ts";

const PAGE_ROWS = 50;
const PHASES = [
    "queued", "waiting", "deferred", "dispatched", "accepted", "downloading", "verifying", "installing", "staged", "activating", "rebooting",
    "confirmed", "failed", "rejected", "timed_out", "expired", "cancelling", "cancelled", "superseded", "regressed",
];

const COLUMNS: Column<Update>[] = [
    { title: "Device", cell: row => <a class="strong" href={href(to`/devices/${row.device_id}`, { tab: "Updates", update: String(row.ordinal) })}>{row.device_id}</a> },
    { title: "Phase", cell: row => <Badge state={row.phase} /> },
    { title: "To", cell: row => <a href={href(to`/firmware/${row.firmware_id}`)}>{row.version}</a> },
    { title: "From", cell: row => row.from_version ?? "–" },
    { title: "Why", cell: row => (row.wait_reason ? sayWait(row.wait_reason) : row.code ? sayCode(row.code) : words(row.reason ?? "")) || "–" },
    { title: "Attempt", cell: row => `${row.attempt}/${row.max_attempts}`, isNumber: true },
    { title: "Campaign", cell: row => (row.campaign_id ? <a href={href(to`/campaigns/${row.campaign_id}`)}>{row.campaign_id.slice(0, 8)}</a> : "–") },
    { title: "Queued", cell: row => <Time at={row.queued_at} relative /> },
    { title: "Ended", cell: row => <Time at={row.ended_at} relative /> },
];

export function FleetUpdates() {
    const [phase, kind, cursor] = ["phase", "kind", "cursor"].map(name => query.value.get(name) ?? undefined);
    const updates = useResource(`updates ${phase} ${kind} ${cursor}`, signal =>
        body(api.GET("/updates", { signal, params: { query: { phase, kind, cursor, limit: PAGE_ROWS, ...minPosition() } } })),
        ofKind("device", "campaign"));
    return (
        <div class="stack">
            <div class="filters">
                <Select label="Phase" value={phase ?? ""} onChange={value => setQuery({ phase: value, cursor: null })}
                    options={[{ value: "", label: "any" }, ...PHASES.map(value => ({ value, label: words(value) }))]} />
                <Select label="Kind" value={kind ?? ""} onChange={value => setQuery({ kind: value, cursor: null })}
                    options={[{ value: "", label: "any" }, "update", "rollback"]} />
            </div>
            <Shown of={updates}>
                {list => list.items.length === 0
                    ? <Empty title={phase || kind ? "No update fits" : "No device has been updated yet"}><a class="button" href={href("/campaigns/new")}>New campaign</a></Empty>
                    : (
                        <>
                            <Table caption="Updates" columns={COLUMNS} rows={list.items} id={row => row.update_id} />
                            <Pager next={list.next_cursor} shown={list.items.length} />
                        </>
                    )}
            </Shown>
        </div>
    );
}
