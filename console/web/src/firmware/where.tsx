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
import { at, now } from "../time/clock.ts";
import { count, percent, several } from "../time/format.ts";
import { Time } from "../time/time.tsx";
import { momentsUntil, series, shares, type Share, UNKNOWN } from "./versions.ts";
import { VersionChart } from "./version_chart.tsx";

/** Points of the chart; each is a request. */
const POINTS = 13;
/** Most lines of the chart. */
const LINES_MAX = 5;
const HOUR = 3_600;
const SPANS = [
    { value: "1h", label: "1 hour", seconds: HOUR },
    { value: "24h", label: "24 hours", seconds: 24 * HOUR },
    { value: "7d", label: "7 days", seconds: 7 * 24 * HOUR },
    { value: "30d", label: "30 days", seconds: 30 * 24 * HOUR },
];

function useShares(firmware: Firmware, moment: string | null) {
    const { component, device_model } = firmware;
    return useResource(`versions ${component} ${device_model} ${moment}`, async signal => {
        const wanted = { component, group_by: "device_model", ...(moment ? { at: moment } : minPosition()) };
        const stats = await body(api.GET("/stats/versions", { signal, params: { query: wanted } }));
        return { asOf: stats.as_of.time, found: shares(stats.items, device_model) };
    }, moment ? null : anything);
}

export function Where({ firmware }: { firmware: Firmware }) {
    const own = firmware.reported_version ?? firmware.version;
    const stats = useShares(firmware, at.value);
    return (
        <div class="stack">
            <Shown of={stats}>
                {({ found, asOf }) => {
                    const whole = found.reduce((all, share) => all + share.devices, 0);
                    const here = found.find(share => share.version === own)?.devices ?? 0;
                    if (whole === 0) return <Empty title={`There is no ${firmware.device_model} yet`} />;
                    return (
                        <>
                            <p class="sentence">
                                {several(here, "device")} of {count(whole)} {here === 1 ? "runs" : "run"} {own} ({percent(here, whole)}).
                            </p>
                            <Shares firmware={firmware} own={own} found={found} whole={whole} />
                            <p class="muted small">As of <Time at={asOf} /></p>
                        </>
                    );
                }}
            </Shown>
            <OverTime firmware={firmware} own={own} />
        </div>
    );
}

function Shares({ firmware, own, found, whole }: { firmware: Firmware; own: string; found: Share[]; whole: number }) {
    const columns: Column<Share>[] = [
        { title: "Version", cell: row => row.version === UNKNOWN ? UNKNOWN : (
            <span class="nowrap">
                <a class="strong" href={href("/devices", { device_model: firmware.device_model, firmware_version: row.version })}>{row.version}</a>
                {row.version === own && <span class="muted small"> this firmware</span>}
            </span>
        ) },
        { title: "Devices", cell: row => count(row.devices), isNumber: true },
        { title: "Share", cell: row => percent(row.devices, whole), isNumber: true },
        { title: "Of the model", cell: row => <Bar parts={[{ tone: row.version === own ? "ok" : "work", value: row.devices }]} whole={whole} /> },
    ];
    return <Table caption={`Versions of ${firmware.device_model}`} columns={columns} rows={found} id={row => row.version} />;
}

function OverTime({ firmware, own }: { firmware: Firmware; own: string }) {
    const span = SPANS.find(one => one.value === query.value.get("span")) ?? SPANS[1]!;
    const minute = at.value ? Date.parse(at.value) : Math.floor(now.value / 60_000) * 60_000;
    // The chart of now moves on every fifth minute, not at each.
    const end = at.value ? minute : Math.floor(minute / 300_000) * 300_000;
    const points = useResource(`versions-over ${firmware.component} ${firmware.device_model} ${span.value} ${end}`, async signal => {
        const times = momentsUntil(end, span.seconds, POINTS);
        const found = await Promise.all(times.map(async time => {
            const query = { component: firmware.component, group_by: "device_model", at: new Date(time).toISOString() };
            return shares((await body(api.GET("/stats/versions", { signal, params: { query } }))).items, firmware.device_model);
        }));
        return { times, found };
    });
    return (
        <section class="card stack" aria-labelledby="over-time">
            <div class="wave-head">
                <h2 id="over-time">Over time</h2>
                <Select label="Span" value={span.value} options={SPANS} onChange={value => setQuery({ span: value === "24h" ? null : value }, { replace: true })} />
            </div>
            <Shown of={points}>
                {({ times, found }) => <VersionChart times={times} lines={series(found, own, LINES_MAX)} own={own} />}
            </Shown>
        </section>
    );
}
