/** How many devices ran which version, over time: the whole fleet, until now or the moment that is looked at. */
import { api, body } from "../api/client.ts";
import { minPosition } from "../api/position.ts";
import { useResource } from "../api/resource.ts";
import { UNKNOWN } from "../firmware/versions.ts";
import { VersionChart } from "../firmware/version_chart.tsx";
import { Field, Select } from "../parts/field.tsx";
import { Empty, Shown } from "../parts/states.tsx";
import { Table, type Column } from "../parts/table.tsx";
import { href, query, setQuery } from "../router/location.ts";
import { at } from "../time/clock.ts";
import { count, percent } from "../time/format.ts";
import { Time } from "../time/time.tsx";

/** Most lines of the chart, each with dashes of its own. */
const LINES_MAX = 5;
const SPANS = [["86400", "1 day"], ["604800", "7 days"], ["2592000", "30 days"], ["31536000", "1 year"]] as const;
const FIRST_SPAN = "2592000";

interface Row {
    version: string;
    first: number;
    last: number;
    whole: number;
}

export function FleetVersions() {
    const moment = at.value;
    const component = query.value.get("component") ?? "firmware";
    const span = query.value.get("span") ?? FIRST_SPAN;
    const found = useResource(`version-series ${component} ${span} ${moment}`, signal => {
        const from = new Date((moment ? Date.parse(moment) : Date.now()) - Number(span) * 1_000).toISOString();
        const asked = { component, from, ...(moment ? { to: moment } : minPosition()) };
        return body(api.GET("/stats/versions/series", { signal, params: { query: asked } }));
    });
    return (
        <div class="stack">
            <div class="filters">
                <Field label="Component" value={component} isFinished onInput={value => setQuery({ component: value }, { replace: true })} />
                <Select label="Span" value={span} options={SPANS.map(([value, label]) => ({ value, label }))}
                    onChange={value => setQuery({ span: value === FIRST_SPAN ? null : value }, { replace: true })} />
            </div>
            <Shown of={found}>
                {({ times, series, other, devices, as_of }) => {
                    const lines = series.map(one => ({ version: one.version ?? UNKNOWN, values: one.devices }));
                    if (lines.length === 0) return <Empty title={`No device has said which ${component} it runs`} />;
                    const whole = devices.at(-1) ?? 0;
                    const rows = lines.map(({ version, values }) => ({ version, first: values[0] ?? 0, last: values.at(-1) ?? 0, whole }));
                    return (
                        <>
                            <section class="card stack" aria-label="Over time">
                                <VersionChart times={times.map(time => Date.parse(time))} lines={lines.slice(0, LINES_MAX)} />
                            </section>
                            <Table caption="Versions" columns={columns(component)} rows={rows} id={row => row.version} />
                            <p class="muted small">
                                {(other.at(-1) ?? 0) > 0 && `${count(other.at(-1) ?? 0)} devices run other versions. `}As of <Time at={moment ?? as_of.time} />
                            </p>
                        </>
                    );
                }}
            </Shown>
        </div>
    );
}

/** Devices can be listed by their version of the firmware only. */
const columns = (component: string): Column<Row>[] => [
    { title: "Version", cell: row => row.version === UNKNOWN || component !== "firmware" ? row.version : <a class="strong" href={href("/devices", { firmware_version: row.version })}>{row.version}</a> },
    { title: "At the beginning", cell: row => count(row.first), isNumber: true },
    { title: "At the end", cell: row => count(row.last), isNumber: true },
    { title: "Share", cell: row => percent(row.last, row.whole), isNumber: true },
];
