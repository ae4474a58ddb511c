/** The state of each part of the service, and how far its read models are. */
import { useEffect } from "preact/hooks";
import { api, body } from "../api/client.ts";
import { useResource } from "../api/resource.ts";
import type { Schemas } from "../api/types.ts";
import { Badge } from "../parts/badge.tsx";
import { Facts } from "../parts/facts.tsx";
import { Shown } from "../parts/states.tsx";
import { Table, type Column } from "../parts/table.tsx";
import { bytes, count, duration, several, words } from "../time/format.ts";
import { sorted, stateOf, troubles } from "./parts.ts";

/** Wait between two looks, in milliseconds. */
const LOOK_MS = 5_000;

type Component = Schemas["Component"];

const dash = <span class="muted">–</span>;
const number = (value: number | null | undefined) => (value == null ? dash : count(value));
const NAME: Column<Component> = { title: "Part", cell: row => <span class="strong">{words(row.name)}</span> };
const STATE: Column<Component> = { title: "State", cell: row => <Badge state={stateOf(row)} /> };
const DETAIL: Column<Component> = { title: "Detail", cell: row => (row.error ? <span class="error">{row.error}</span> : (row.detail ?? dash)) };
const MODELS: Column<Component>[] = [
    { ...NAME, title: "Read model" }, STATE,
    { title: "Position", cell: row => number(row.position), isNumber: true },
    { title: "Behind", cell: row => (row.lag == null ? dash : row.lag === 0 ? "0" : several(row.lag, "position")), isNumber: true },
    { title: "Parked", cell: row => (row.parked ? <Badge state={several(row.parked, "aggregate")} tone="bad" /> : number(row.parked)), isNumber: true },
    DETAIL,
];

const PARKED: Column<NonNullable<Schemas["DetailedHealth"]["parked"]>[number]>[] = [
    { title: "Aggregate", cell: row => <span class="strong">{row.aggregate}/{row.aggregate_id}</span> },
    { title: "Read model", cell: row => row.projection },
    { title: "Tenant", cell: row => row.tenant },
    { title: "Records", cell: row => count(row.records), isNumber: true },
    { title: "Positions", cell: row => `${row.first_position} to ${row.last_position}`, isNumber: true },
    { title: "Why", cell: row => <span class="error">{row.error}</span> },
];
const STREAMS: Column<NonNullable<Schemas["DetailedHealth"]["streams"]>[number]>[] = [
    { title: "Stream", cell: row => <span class="strong">{row.name}</span> },
    { title: "Messages", cell: row => count(row.messages), isNumber: true },
    { title: "Size", cell: row => (row.max_bytes && row.max_bytes > 0 ? `${bytes(row.bytes)} of ${bytes(row.max_bytes)}` : bytes(row.bytes)), isNumber: true },
    { title: "Sequences", cell: row => `${count(row.first_sequence)} to ${count(row.last_sequence)}`, isNumber: true },
];

/** Reads again and again while the page is seen, because no live message tells of these. */
export function useLooks(reload: () => void, every_ms = LOOK_MS): void {
    useEffect(() => {
        const timer = window.setInterval(() => !document.hidden && reload(), every_ms);
        return () => window.clearInterval(timer);
    }, []);
}

export function State() {
    const health = useResource("health", signal => body(api.GET("/health/detailed", { signal, baseUrl: "/" })));
    const service = useResource("service", signal => body(api.GET("/service/stats", { signal })));
    useLooks(() => {
        health.reload();
        service.reload();
    });
    return (
        <div class="stack">
            <Shown of={health}>{data => <Components health={data} />}</Shown>
            <section class="card stack" aria-labelledby="program">
                <h2 id="program">Program</h2>
                <Shown of={service}>
                    {data => (
                        <Facts facts={[
                            ["Name", data.name], ["Version", data.version], ["Up for", duration(data.uptime_s)], ["Can", data.capabilities.join(", ")],
                        ]} />
                    )}
                </Shown>
            </section>
        </div>
    );
}

function Components({ health }: { health: Schemas["DetailedHealth"] }) {
    const { models, managers, others } = sorted(health.components);
    const bad = troubles(health.components);
    const isDetailed = health.components.some(part => part.position != null || part.detail != null);
    return (
        <>
            {bad.length === 0 ? (
                <p class="notice ok" role="status"><span><span aria-hidden="true">✓ </span>Every part is up{isDetailed ? ", and nothing is parked" : ""}.</span></p>
            ) : (
                <ul class="stack">
                    {bad.map(part => (
                        <li key={part.name} class={`notice ${part.up ? "warn" : "bad"}`} role="alert">
                            <span>
                                <span aria-hidden="true">{part.up ? "! " : "✕ "}</span>
                                <span class="strong">{part.name}</span> is {stateOf(part)}{part.parked ? `; ${several(part.parked, "aggregate")} can't be applied and are parked` : ""}
                                {part.error ? `: ${part.error}` : ""}
                            </span>
                        </li>
                    ))}
                </ul>
            )}
            {!isDetailed && <p class="muted">Positions, lag and details are shown to platform admins.</p>}
            <section class="stack" aria-labelledby="models">
                <h2 id="models">Read models</h2>
                <Table caption="Read models" columns={isDetailed ? MODELS : [NAME, STATE]} rows={models} id={row => row.name} />
                {models.some(part => part.parked) && <pre class="cli">waybill projections unpark MODEL</pre>}
            </section>
            <section class="stack" aria-labelledby="others">
                <h2 id="others">Dependencies and links</h2>
                <Table caption="Dependencies and links" columns={[NAME, STATE, DETAIL]} rows={others} id={row => row.name} />
            </section>
            {health.parked && health.parked.length > 0 && (
                <section class="stack" aria-labelledby="parked">
                    <h2 id="parked">Parked aggregates</h2>
                    <Table caption="Parked aggregates" columns={PARKED} rows={health.parked} id={row => `${row.projection} ${row.tenant} ${row.aggregate} ${row.aggregate_id}`} />
                </section>
            )}
            {health.streams && health.streams.length > 0 && (
                <section class="stack" aria-labelledby="streams">
                    <h2 id="streams">Streams</h2>
                    <Table caption="Streams" columns={STREAMS} rows={health.streams} id={row => row.name} />
                </section>
            )}
            <section class="stack" aria-labelledby="managers">
                <h2 id="managers">Process managers</h2>
                <Table caption="Process managers" columns={[NAME, STATE, DETAIL]} rows={managers} id={row => row.name} />
            </section>
        </>
    );
}
