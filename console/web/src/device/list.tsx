/** The list of devices that match the filters, with what is selected in it. */
import { useState } from "preact/hooks";
import { api, body } from "../api/client.ts";
import { minPosition, shortPosition } from "../api/position.ts";
import { ofKind, useResource } from "../api/resource.ts";
import type { Device } from "../api/types.ts";
import { Pager } from "../parts/pager.tsx";
import { Empty, Shown } from "../parts/states.tsx";
import { Table, type Column } from "../parts/table.tsx";
import { href, query } from "../router/location.ts";
import { at } from "../time/clock.ts";
import { may } from "../session/session.ts";
import { several } from "../time/format.ts";
import type { Bulk, Chosen } from "./bulk_request.ts";
import { BulkDialog, VERBS } from "./bulk.tsx";
import { ColumnPicker, columns } from "./columns.tsx";
import { NoDevices } from "./fleet.tsx";
import { listQuery, targetOf, type Filters } from "./filters.ts";

const PAGE_ROWS = 50;

export function DeviceList({ filters }: { filters: Filters }) {
    const cursor = query.value.get("cursor") ?? undefined;
    const moment = at.value;
    const asked = listQuery(filters);
    const key = JSON.stringify(filters);
    const [selected, setSelected] = useState<ReadonlySet<string>>(new Set());
    const devices = useResource(`devices ${key} ${cursor} ${moment}`, signal =>
        body(api.GET("/devices", { signal, params: { query: { ...asked, cursor, limit: PAGE_ROWS, ...(moment ? { at: moment } : minPosition()) } } })),
        moment ? null : ofKind("device", "group"));
    const toggle = (ids: readonly string[], isOn: boolean): void => {
        setSelected(before => {
            const next = new Set(before);
            ids.forEach(id => (isOn ? next.add(id) : next.delete(id)));
            return next;
        });
    };
    const pick: Column<Device> = {
        title: "Select",
        cell: row => (
            <input type="checkbox" aria-label={`Select ${row.device_id}`} checked={selected.has(row.device_id)}
                onChange={event => toggle([row.device_id], event.currentTarget.checked)} />
        ),
    };
    const hasCommands = may("operator") && !moment;
    const shown = hasCommands ? [...columns(), pick] : columns();
    return (
        <Shown of={devices}>
            {list => list.items.length === 0 ? (Object.keys(filters).length === 0 && !cursor ? <NoDevices /> :
                <Empty title={list.next_cursor ? "No device on this page fits: the next one looks further" : "No device fits"}><Pager next={list.next_cursor} shown={0} /><a class="button" href={href("/devices")}>Remove all filters</a></Empty>
            ) : (
                <>
                    <div class="list-head">
                        {moment ? <span /> : <Count key={key} asked={asked} />}
                        <ColumnPicker />
                    </div>
                    {hasCommands && (
                        <BulkBar filters={filters} position={list.as_of?.position} selected={selected} onPage={list.items.map(row => row.device_id)} toggle={toggle}
                            clear={() => setSelected(new Set())} reload={devices.reload} />
                    )}
                    <Table caption="Devices" columns={shown} rows={list.items} id={row => row.device_id} />
                    <Pager next={list.next_cursor} shown={list.items.length} />
                </>
            )}
        </Shown>
    );
}

/** How many devices match: counted when somebody asks, because it reads all of them. */
function Count({ asked }: { asked: ReturnType<typeof listQuery> }) {
    const [isWanted, setWanted] = useState(false);
    const counted = useResource(isWanted ? `count ${JSON.stringify(asked)}` : null, signal =>
        body(api.GET("/devices", { signal, params: { query: { ...asked, limit: 1, count: true, ...minPosition() } } })));
    const total = counted.data?.total;
    if (isWanted && total != null) return <p role="status"><span class="strong">{several(total, "device")}</span> match.</p>;
    return <button disabled={isWanted && counted.isLoading} onClick={() => (isWanted ? counted.reload() : setWanted(true))}>Count them</button>;
}

interface BarProps {
    filters: Filters;
    /** Of what the list shows. */
    position: string | undefined;
    selected: ReadonlySet<string>;
    onPage: readonly string[];
    toggle: (ids: readonly string[], isOn: boolean) => void;
    clear: () => void;
    reload: () => void;
}

/** What is selected, also on other pages, and what can be done with it. */
function BulkBar({ filters, position, selected, onPage, toggle, clear, reload }: BarProps) {
    const [isAll, setAll] = useState(false);
    const [open, setOpen] = useState<Bulk | null>(null);
    const elsewhere = [...selected].filter(id => !onPage.includes(id)).length;
    const chosenFor = (bulk: Bulk): Chosen | null => {
        if (!isAll) return selected.size > 0 ? { ids: [...selected] } : null;
        if (bulk === "add" || bulk === "remove") return null;
        const target = targetOf(filters, bulk !== "update");
        return Array.isArray(target) || Object.keys(target).length === 0 ? null : { target };
    };
    const unknown = targetOf(filters, false);
    const isTargetable = Object.keys(filters).length > 0 && !Array.isArray(targetOf(filters, true));
    const verbs = VERBS.filter(([bulk]) => chosenFor(bulk) !== null);
    const chosen = open && chosenFor(open);
    const says = isAll ? "all that match the filters" : several(selected.size, "selected device");
    const isPageSelected = onPage.every(id => selected.has(id));
    return (
        <section class="bulk" aria-label="Several devices">
            <div class="buttons">
                <button aria-pressed={isAll} onClick={() => setAll(!isAll)} disabled={!isTargetable && !isAll}>All that match</button>
                <button onClick={() => toggle(onPage, !isPageSelected)} disabled={isAll}>{isPageSelected ? "Deselect this page" : "Select this page"}</button>
                {selected.size > 0 && !isAll && <button onClick={clear}>Clear</button>}
            </div>
            <p class="muted" role="status">
                {isAll ? `All devices that match the filters${position ? `, as of #${shortPosition(position)}` : ""}, also on other pages.`
                    : selected.size === 0 ? "No device is selected."
                    : `${several(selected.size, "device")} selected${elsewhere > 0 ? `, ${elsewhere} of them not on this page` : ""}.`}
                {Array.isArray(unknown) && (isTargetable ? isAll && ` “Update” can't be used with: ${unknown.join(", ")}.` : ` “All that match” can't be used with: ${unknown.join(", ")}.`)}
            </p>
            {verbs.length > 0 && (
                <div class="buttons" data-actions>
                    {verbs.map(([bulk, label]) => (
                        <button key={bulk} onClick={() => setOpen(bulk)}>{label}</button>
                    ))}
                </div>
            )}
            {open && chosen && <BulkDialog bulk={open} chosen={chosen} says={says} onClose={() => setOpen(null)} onDone={reload} />}
        </section>
    );
}
