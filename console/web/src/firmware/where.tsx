/** Where a firmware runs: now or at the moment that is looked at, and over time. */
import { api, body } from "../api/client.ts";
import { minPosition } from "../api/position.ts";
import { anything, useResource } from "../api/resource.ts";
import type { Firmware } from "../api/types.ts";
import { Bar } from "../parts/bar.tsx";
import { Select } from "../parts/field.tsx";
import { Empty, Shown } from "../parts/states.tsx";
import { Table, type Column } from "../parts/table.tsx";
import { href, query, setQuery } from "../router/location.ts";
import { at, isComparing, now } from "../time/clock.ts";
import { count, percent, several } from "../time/format.ts";
import { Time } from "../time/time.tsx";
import { type Change, changes, momentsUntil, series, shares, type Share, UNKNOWN } from "./versions.ts";
import { VersionChart } from "./version_chart.tsx";

/** Points of the chart; each is a request. */
const POINTS = 13;
/** Most lines of the chart. */
const LINES_MAX = 5;
/** How often the chart of now moves, in milliseconds. */
const STEP_MS = 300_000;
/** Days after the upload whose share is named. */
const REACH_DAYS = [1, 7, 30];
const DAY_MS = 86_400_000;
const HOUR = 3_600;
const SPANS = [
    { value: "1h", label: "1 hour", seconds: HOUR },
    { value: "24h", label: "24 hours", seconds: 24 * HOUR },
    { value: "7d", label: "7 days", seconds: 7 * 24 * HOUR },
    { value: "30d", label: "30 days", seconds: 30 * 24 * HOUR },
];

/** `moment` is null for now; undefined reads nothing. */
function useShares(firmware: Firmware, moment: string | null | undefined) {
    const { component, device_model } = firmware;
    return useResource(moment === undefined ? null : `versions ${component} ${device_model} ${moment}`, async signal => {
        const wanted = { component, group_by: "device_model", ...(moment ? { at: moment } : minPosition()) };
        const stats = await body(api.GET("/stats/versions", { signal, params: { query: wanted } }));
        return { asOf: stats.as_of.time, found: shares(stats.items, device_model) };
    }, moment ? null : anything);
}

export function Where({ firmware }: { firmware: Firmware }) {
    const own = firmware.reported_version ?? firmware.version;
    const stats = useShares(firmware, at.value);
    const present = useShares(firmware, isComparing.value ? null : undefined);
    return (
        <div class="stack">
            <Shown of={stats}>
                {({ found, asOf }) => {
                    const whole = found.reduce((all, share) => all + share.devices, 0);
                    const here = found.find(share => share.version === own)?.devices ?? 0;
                    if (whole === 0 && !isComparing.value) return <Empty title={`There is no ${firmware.device_model} yet`} />;
                    return (
                        <>
                            <p class="sentence">
                                {several(here, "device")} of {count(whole)} {here === 1 ? "runs" : "run"} {own} ({percent(here, whole)}).
                            </p>
                            {isComparing.value
                                ? <Shown of={present}>{after => <Changes firmware={firmware} own={own} found={changes(found, after.found)} />}</Shown>
                                : <Shares firmware={firmware} own={own} found={found} whole={whole} />}
                            <p class="muted small">As of <Time at={asOf} /></p>
                        </>
                    );
                }}
            </Shown>
            <Reach firmware={firmware} own={own} />
            <OverTime firmware={firmware} own={own} />
        </div>
    );
}

/** A version, with a link to the devices that run it now. */
function versionOf(firmware: Firmware, own: string): Column<{ version: string }> {
    return { title: "Version", cell: row => row.version === UNKNOWN ? UNKNOWN : (
        <span class="nowrap">
            <a class="strong" href={href("/devices", { device_model: firmware.device_model, firmware_version: row.version })}>{row.version}</a>
            {row.version === own && <span class="muted small"> this firmware</span>}
        </span>
    ) };
}

function Changes({ firmware, own, found }: { firmware: Firmware; own: string; found: Change[] }) {
    const columns: Column<Change>[] = [
        versionOf(firmware, own),
        { title: "Then", cell: row => count(row.then), isNumber: true },
        { title: "Now", cell: row => count(row.now), isNumber: true },
        { title: "Change", cell: row => (row.now === row.then ? "–" : `${row.now > row.then ? "+" : "−"}${count(Math.abs(row.now - row.then))}`), isNumber: true },
    ];
    return <Table caption={`Versions of ${firmware.device_model}, then and now`} columns={columns} rows={found} id={row => row.version} />;
}

/** How far it had come some days after its upload. */
function Reach({ firmware, own }: { firmware: Firmware; own: string }) {
    const until = at.value === null ? Date.now() : Date.parse(at.value);
    const begin = Date.parse(firmware.created_at ?? "");
    const days = REACH_DAYS.filter(one => begin + one * DAY_MS <= until);
    const reached = useResource(days.length === 0 ? null : `reach ${firmware.firmware_id} ${days}`, signal => Promise.all(days.map(async day => {
        const found = await sharesAt(firmware, begin + day * DAY_MS, signal);
        return { day, part: found.find(share => share.version === own)?.devices ?? 0, whole: found.reduce((all, share) => all + share.devices, 0) };
    })));
    if (!reached.data) return null;
    return (
        <p>
            After its upload it ran on {reached.data.map(({ day, part, whole }, n) => (
                <>{n > 0 && ", "}<span class="strong">{percent(part, whole)}</span>{n === 0 && " of the devices"} within {several(day, "day")}</>
            ))}.
        </p>
    );
}

async function sharesAt({ component, device_model }: Firmware, time: number, signal: AbortSignal): Promise<Share[]> {
    const query = { component, group_by: "device_model", at: new Date(time).toISOString() };
    return shares((await body(api.GET("/stats/versions", { signal, params: { query } }))).items, device_model);
}

function Shares({ firmware, own, found, whole }: { firmware: Firmware; own: string; found: Share[]; whole: number }) {
    const columns: Column<Share>[] = [
        versionOf(firmware, own),
        { title: "Devices", cell: row => count(row.devices), isNumber: true },
        { title: "Share", cell: row => percent(row.devices, whole), isNumber: true },
        { title: "Of the model", cell: row => <Bar parts={[{ tone: row.version === own ? "ok" : "work", value: row.devices }]} whole={whole} /> },
    ];
    return <Table caption={`Versions of ${firmware.device_model}`} columns={columns} rows={found} id={row => row.version} />;
}

function OverTime({ firmware, own }: { firmware: Firmware; own: string }) {
    const span = SPANS.find(one => one.value === query.value.get("span")) ?? SPANS[1]!;
    const moment = at.value === null ? null : Date.parse(at.value);
    // The chart of now moves on every fifth minute, not at each.
    const end = moment !== null && !isComparing.value ? moment : Math.floor(now.value / STEP_MS) * STEP_MS + (moment === null ? 0 : STEP_MS);
    // What is compared is everything since the moment.
    const seconds = moment === null || !isComparing.value ? span.seconds : Math.max(0, end - moment) / 1_000;
    const points = useResource(`versions-over ${firmware.component} ${firmware.device_model} ${seconds} ${end}`, async signal => {
        const times = [...new Set(momentsUntil(end, seconds, POINTS).map(time => Math.min(time, Date.now())))];
        return { times, found: await Promise.all(times.map(time => sharesAt(firmware, time, signal))) };
    });
    return (
        <section class="card stack" aria-labelledby="over-time">
            <div class="wave-head">
                <h2 id="over-time">{isComparing.value ? "Since then" : "Over time"}</h2>
                {!isComparing.value && <Select label="Span" value={span.value} options={SPANS} onChange={value => setQuery({ span: value === "24h" ? null : value }, { replace: true })} />}
            </div>
            <Shown of={points}>
                {({ times, found }) => <VersionChart times={times} lines={series(found, own, LINES_MAX)} own={own} />}
            </Shown>
        </section>
    );
}
