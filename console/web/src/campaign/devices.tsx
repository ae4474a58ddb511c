/** The devices of a campaign, by phase, wave, or why they are excluded. */
import { api, body } from "../api/client.ts";
import { minPosition } from "../api/position.ts";
import { of, useResource } from "../api/resource.ts";
import type { Schemas } from "../api/types.ts";
import { Badge } from "../parts/badge.tsx";
import { Field, Select } from "../parts/field.tsx";
import { Pager } from "../parts/pager.tsx";
import { Empty, Shown } from "../parts/states.tsx";
import { Table, type Column } from "../parts/table.tsx";
import { href, query, setQuery, to } from "../router/location.ts";
import { words } from "../time/format.ts";
import { Time } from "../time/time.tsx";

const PAGE_ROWS = 50;
const PHASES = [
    "planned", "queued", "dispatched", "accepted", "downloading", "verifying", "installing", "staged", "activating", "rebooting", "waiting",
    "deferred", "confirmed", "failed", "rejected", "timed_out", "expired", "cancelled", "superseded", "regressed", "rolling_back", "rolled_back", "rollback_failed", "excluded",
];

type Member = Schemas["Member"];

const COLUMNS: Column<Member>[] = [
    { title: "Device", cell: row => <a class="strong" href={href(to`/devices/${row.device_id}`)}>{row.device_id}</a> },
    { title: "Phase", cell: row => <Badge state={row.excluded ? "excluded" : row.phase} /> },
    { title: "Why", cell: row => words(row.excluded ?? row.wait_reason ?? row.code ?? row.rollback_obstacle ?? "") || "–" },
    { title: "Wave", cell: row => (row.wave === 0 ? "–" : row.wave), isNumber: true },
    { title: "From", cell: row => row.from_version ?? "–" },
    { title: "Attempt", cell: row => row.attempt, isNumber: true },
    { title: "Reached", cell: row => <Time at={row.reached_at} relative /> },
    { title: "Ended", cell: row => <Time at={row.ended_at} relative /> },
];

export function Devices({ id }: { id: string }) {
    const parameters = query.value;
    const [phase, excluded, cursor] = ["phase", "excluded", "cursor"].map(name => parameters.get(name) ?? undefined);
    const wave = Number.parseInt(parameters.get("wave") ?? "", 10) || undefined;
    const members = useResource(`members ${id} ${phase} ${wave} ${excluded} ${cursor}`, signal =>
        body(api.GET("/campaigns/{campaign_id}/devices", {
            signal,
            params: { path: { campaign_id: id }, query: { phase, wave, excluded, cursor, limit: PAGE_ROWS, ...minPosition() } },
        })), of("campaign", id));
    return (
        <div class="stack">
            <div class="filters">
                <Select label="Phase" value={phase ?? ""} onChange={value => setQuery({ phase: value, cursor: null })}
                    options={[{ value: "", label: "any" }, ...PHASES.map(value => ({ value, label: words(value) }))]} />
                <Field label="Wave" type="number" min={1} value={parameters.get("wave") ?? ""} onInput={value => setQuery({ wave: value, cursor: null }, { replace: true })} />
                {excluded && <button class="chip" onClick={() => setQuery({ excluded: null, cursor: null })}>Left out: {words(excluded)} ✕</button>}
            </div>
            <Shown of={members}>
                {list => list.items.length === 0 ? <Empty title="No device fits" /> : (
                    <>
                        <Table caption="Devices of the campaign" columns={COLUMNS} rows={list.items} id={row => row.device_id} />
                        <Pager next={list.next_cursor} shown={list.items.length} />
                    </>
                )}
            </Shown>
        </div>
    );
}
