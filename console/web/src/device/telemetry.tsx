/** What a device measured: the latest values, and each number over time. */
import { useMemo } from "preact/hooks";
import { api, body } from "../api/client.ts";
import { minPosition } from "../api/position.ts";
import { of, useResource } from "../api/resource.ts";
import type { Schemas } from "../api/types.ts";
import { Select } from "../parts/field.tsx";
import { Lines } from "../parts/lines.tsx";
import { Empty, Shown } from "../parts/states.tsx";
import { Table, type Column } from "../parts/table.tsx";
import { query, setQuery } from "../router/location.ts";
import { Time } from "../time/time.tsx";
import { numericNames, series, type Measurement } from "./series.ts";

/** Messages of one page. */
const PAGE_ROWS = 200;
/** Most pages that are read for the plots: the rest isn't shown. */
const PAGES_MAX = 10;
/** Most measurements that are plotted at once. */
const PLOTS_MAX = 6;

const RANGES = { "1": "last hour", "6": "last 6 hours", "24": "last day", "168": "last 7 days" } as const;

interface Measured {
    latest: Record<string, Schemas["ReadingBody"]>;
    items: Measurement[];
    isCut: boolean;
}

async function read(id: string, hours: number, signal: AbortSignal): Promise<Measured> {
    const from = new Date(Date.now() - hours * 3_600_000).toISOString();
    const items: Measurement[] = [];
    let cursor: string | undefined;
    let latest: Measured["latest"] = {};
    for (let n = 0; n < PAGES_MAX; n += 1) {
        const page = await body(api.GET("/devices/{device_id}/telemetry", {
            signal,
            params: { path: { device_id: id }, query: { from, cursor, limit: PAGE_ROWS, ...minPosition() } },
        }));
        if (n === 0) latest = page.latest;
        items.push(...page.items);
        cursor = page.next_cursor ?? undefined;
        if (!cursor) break;
    }
    return { latest, items, isCut: cursor !== undefined };
}

interface Row {
    name: string;
    value: unknown;
    at: string;
}

const COLUMNS: Column<Row>[] = [
    { title: "Measurement", cell: row => row.name },
    { title: "Latest value", cell: row => <span class="strong">{typeof row.value === "string" ? row.value : JSON.stringify(row.value)}</span>, isNumber: true },
    { title: "At", cell: row => <Time at={row.at} relative /> },
];

export function Telemetry({ id }: { id: string }) {
    const asked = query.value.get("hours") ?? "1";
    const hours = asked in RANGES ? asked : "1";
    const measured = useResource(`telemetry ${id} ${hours}`, signal => read(id, Number(hours), signal), of("device", id));
    return (
        <div class="stack">
            <div class="filters">
                <Select label="Time" value={hours} onChange={value => setQuery({ hours: value }, { replace: true })}
                    options={Object.entries(RANGES).map(([value, label]) => ({ value, label }))} />
                <button onClick={measured.reload}>Read again</button>
            </div>
            <Shown of={measured}>{data => <Measurements data={data} />}</Shown>
        </div>
    );
}

function Measurements({ data }: { data: Measured }) {
    const rows = Object.entries(data.latest).map(([name, { value, at }]): Row => ({ name, value, at })).sort((one, other) => one.name.localeCompare(other.name));
    const names = useMemo(() => numericNames(data.latest).slice(0, PLOTS_MAX), [data]);
    const [times, ...values] = useMemo(() => series(data.items, names), [data, names]);
    if (rows.length === 0) return <Empty title="The device has sent no measurement"><p class="muted">Measurements are kept for seven days.</p></Empty>;
    return (
        <>
            {data.isCut && <p class="muted">Only the first {PAGES_MAX * PAGE_ROWS} messages of this time are plotted.</p>}
            {data.items.length > 0 ? (
                <div class="plots">
                    {names.map((name, n) => (
                        <section key={name} class="card stack" aria-label={name}>
                            <h2>{name}</h2>
                            {values[n]?.some(value => value !== null)
                                ? <Lines label={`${name} over time`} times={times} lines={[{ name, values: values[n] ?? [] }]} />
                                : <p class="muted">Nothing in this time.</p>}
                        </section>
                    ))}
                </div>
            ) : <p class="muted">Nothing was measured in this time.</p>}
            <Table caption="Latest values" columns={COLUMNS} rows={rows} id={row => row.name} />
        </>
    );
}
