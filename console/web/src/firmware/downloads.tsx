/** Who fetched a firmware: by day or by device. */
import { api, body } from "../api/client.ts";
import { useResource } from "../api/resource.ts";
import type { Schemas } from "../api/types.ts";
import { Select } from "../parts/field.tsx";
import { Pager } from "../parts/pager.tsx";
import { Empty, Shown } from "../parts/states.tsx";
import { Table, type Column } from "../parts/table.tsx";
import { href, query, setQuery, to } from "../router/location.ts";
import { bytes, count } from "../time/format.ts";

const PAGE_ROWS = 50;
const GROUPS = [{ value: "day", label: "day" }, { value: "device", label: "device" }, { value: "device,day", label: "device and day" }];

type Group = Schemas["DownloadGroupBody"];

const DAY: Column<Group> = { title: "Day (UTC)", cell: row => row.day ?? "–" };
const DEVICE: Column<Group> = {
    title: "Device",
    cell: row => (row.device_id ? <a class="strong" href={href(to`/devices/${row.device_id}`)}>{row.device_id}</a> : "a link for no device"),
};
const COUNTS: Column<Group>[] = [
    { title: "Begun", cell: row => count(row.started), isNumber: true },
    { title: "Completed", cell: row => count(row.completed), isNumber: true },
    { title: "Sent", cell: row => bytes(row.bytes), isNumber: true },
];

export function Downloads({ id }: { id: string }) {
    const wanted = query.value.get("by") ?? "day";
    const by = GROUPS.some(group => group.value === wanted) ? wanted : "day";
    const cursor = query.value.get("cursor") ?? undefined;
    const groups = useResource(`downloads ${id} ${by} ${cursor}`, signal =>
        body(api.GET("/firmware/{firmware_id}/downloads", { signal, params: { path: { firmware_id: id }, query: { group_by: by, cursor, limit: PAGE_ROWS } } })));
    const columns = [...(by.includes("device") ? [DEVICE] : []), ...(by.includes("day") ? [DAY] : []), ...COUNTS];
    return (
        <div class="stack">
            <div class="filters">
                <Select label="By" value={by} options={GROUPS} onChange={value => setQuery({ by: value === "day" ? null : value, cursor: null })} />
                <button onClick={groups.reload}>Count again</button>
            </div>
            <Shown of={groups}>
                {list => list.items.length === 0 ? <Empty title="Nobody has downloaded it yet" /> : (
                    <>
                        <Table caption="Downloads" columns={columns} rows={list.items} id={row => `${row.device_id ?? ""} ${row.day ?? ""}`} />
                        <Pager next={list.next_cursor} shown={list.items.length} />
                    </>
                )}
            </Shown>
        </div>
    );
}
