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
import { numericNames, series, windows, withGaps, type Measurement } from "./series.ts";

/** Messages of one page. */
const PAGE_ROWS = 200;
/** Number of parts of the time that are read when there are more messages than one page has. */
const PARTS = 20;
/** Messages that are read of each part. */
const PART_ROWS = 100;
/** Most measurements that are plotted at once. */
const PLOTS_MAX = 6;

const RANGES = { "1": "last hour", "6": "last 6 hours", "24": "last day", "168": "last 7 days" } as const;

interface Measured {
    latest: Record<string, Schemas["ReadingBody"]>;
    items: Measurement[];
    /** Whether messages are left out. */
    isThinned: boolean;
}

/** All messages of a short time; of a long one the first of each part, so that the plot reaches to its end. */
async function read(id: string, hours: number, signal: AbortSignal): Promise<Measured> {
    const now = Date.now();
    const since = now - hours * 3_600_000;
    const page = (query: { from: string; to?: string; limit: number }) =>
        body(api.GET("/devices/{device_id}/telemetry", { signal, params: { path: { device_id: id }, query: { ...query, ...minPosition() } } }));
    const first = await page({ from: new Date(since).toISOString(), limit: PAGE_ROWS });
    if (!first.next_cursor) return { latest: first.latest, items: first.items, isThinned: false };
    const begun = Date.parse(first.items[0]?.at ?? "") || since;
    const parts = await Promise.all(windows(begun, now, PARTS).map(part => page({ ...part, limit: PART_ROWS })));
    return { latest: first.latest, items: parts.flatMap(part => part.items), isThinned: parts.some(part => part.next_cursor) };
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
    const [times, values] = useMemo((): [number[], (number | null)[][]] => {
        const [all, ...lines] = series(data.items, names);
        return data.isThinned ? [all, lines] : withGaps(all, lines);
    }, [data, names]);
    if (rows.length === 0) return <Empty title="The device has sent no measurement"><p class="muted">Measurements are kept for seven days.</p></Empty>;
    return (
        <>
            {data.isThinned && <p class="muted">There are more messages than are plotted: the first {PART_ROWS} of each of {PARTS} parts of the time.</p>}
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
