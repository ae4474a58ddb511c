/** What a device runs by component, with what shows it, and what it should run. */
import { shortPosition } from "../api/position.ts";
import type { Device, HistoryItem, Update } from "../api/types.ts";
import { Badge } from "../parts/badge.tsx";
import { Empty } from "../parts/states.tsx";
import { Table, type Column } from "../parts/table.tsx";
import { href, to } from "../router/location.ts";
import { at } from "../time/clock.ts";
import { Time } from "../time/time.tsx";
import { hasEnded, hasEndedBadly } from "./phases.ts";
import { proofOf } from "./proof.ts";

interface Row {
    component: string;
    version: string | null;
}

export function Running({ device, updates, events, areAll }: {
    device: Device;
    updates: readonly Update[];
    events: readonly HistoryItem[];
    /** Whether these are all events of the device. */
    areAll: boolean;
}) {
    // The live update of a component, or its latest one if that ended badly.
    const wanted = (component: string) => {
        const own = updates.filter(update => update.component === component);
        return own.find(update => !hasEnded(update.phase)) ?? own.slice(0, 1).find(update => hasEndedBadly(update.phase));
    };
    const rows: Row[] = Object.entries(device.versions).map(([component, version]) => ({ component, version }));
    for (const update of updates) {
        if (!hasEnded(update.phase) && !rows.some(row => row.component === update.component)) rows.push({ component: update.component, version: null });
    }
    const columns: Column<Row>[] = [
        { title: "Component", cell: row => row.component },
        { title: "Runs", cell: row => <span class="strong">{row.version ?? "not known"}</span> },
        // What was ordered is known of now only.
        ...(at.value ? [] : [{ title: "Should run", cell: (row: Row) => <Wanted update={wanted(row.component)} version={row.version} /> }]),
        { title: "Shown by", cell: row => <Shown events={events} areAll={areAll} component={row.component} /> },
    ];
    return (
        <section class="stack" aria-labelledby="runs">
            <h2 id="runs">What it runs</h2>
            {rows.length === 0
                ? <Empty title="The device has not said yet what it runs" />
                : <Table caption="Components" columns={columns} rows={rows} id={row => row.component} />}
        </section>
    );
}

function Wanted({ update, version }: { update: Update | undefined; version: string | null }) {
    if (!update) return <span class="muted">{version ?? "–"}: nothing else is ordered</span>;
    return <><a href={href(to`/firmware/${update.firmware_id}`)}>{update.version}</a> <Badge state={update.phase} /></>;
}

function Shown({ events, areAll, component }: { events: readonly HistoryItem[]; areAll: boolean; component: string }) {
    const proof = proofOf(events, component);
    if (!proof) return <span class="muted">{areAll ? "nothing: the device has not reported it" : "no report among its last events"}</span>;
    return (
        <>
            {proof.type === "update.confirmed" ? "Confirmed" : "Reported"} <Time at={proof.at} relative />
            {proof.bootId && <> after boot <code>{proof.bootId}</code></>}
            {proof.slot && <> in slot {proof.slot}</>}
            {" at "}<a href={href("/audit", { at_position: proof.position })}>#{shortPosition(proof.position)}</a>
            {proof.isTrial && <> <Badge state="on trial" tone="warn" /></>}
        </>
    );
}
