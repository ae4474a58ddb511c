/** Columns of the list of devices. Which ones are shown is in the address. */
import type { Device } from "../api/types.ts";
import { Badge } from "../parts/badge.tsx";
import { Check } from "../parts/field.tsx";
import type { Column } from "../parts/table.tsx";
import { href, query, setQuery, to } from "../router/location.ts";
import { Time } from "../time/time.tsx";

interface Pickable {
    name: string;
    title: string;
    cell: Column<Device>["cell"];
    isNumber?: boolean;
}

const DEFAULT = ["state", "version", "model", "update", "seen"];

function dash(text: string | null | undefined) {
    return text ? text : <span class="muted">–</span>;
}

function pairs(map: Record<string, string>) {
    const all = Object.entries(map);
    return all.length === 0 ? dash(null) : <span class="tags">{all.map(([key, value]) => <span key={key} class="tag">{key}: {value}</span>)}</span>;
}

export const PICKABLE: readonly Pickable[] = [
    { name: "state", title: "State", cell: row => <State device={row} /> },
    { name: "version", title: "Runs", cell: row => dash(row.firmware_version) },
    { name: "model", title: "Model", cell: row => dash(row.device_model) },
    { name: "update", title: "Update", cell: row => <UpdateCell device={row} /> },
    { name: "seen", title: "Last seen", cell: row => <Time at={row.last_seen} relative /> },
    { name: "name", title: "Name", cell: row => dash(row.name) },
    { name: "type", title: "Type", cell: row => dash(row.device_type) },
    { name: "hardware", title: "Hardware", cell: row => dash(row.hardware_version) },
    { name: "components", title: "Components", cell: row => pairs(row.versions) },
    { name: "tags", title: "Tags", cell: row => pairs(row.tags) },
    { name: "transport", title: "Reached by", cell: row => row.transport },
    { name: "sync", title: "Network server", cell: row => <Badge state={row.sync_state} /> },
    { name: "owner", title: "Owner", cell: row => dash(row.owner) },
    { name: "battery", title: "Battery", isNumber: true, cell: row => (row.battery_level == null ? dash(null) : `${row.battery_level} %`) },
    { name: "signal", title: "Signal", isNumber: true, cell: row => (row.signal_strength == null ? dash(null) : `${row.signal_strength} dBm`) },
    { name: "registered", title: "Registered", cell: row => <Time at={row.registered_at} relative /> },
];

/** What is said of a device beside its connection. */
export function State({ device }: { device: Device }) {
    return (
        <span class="tags">
            {device.lifecycle !== "active" ? <Badge state={device.lifecycle} tone="bad" /> : <Badge state={device.status} />}
            {device.held && <Badge state="held" />}
        </span>
    );
}

function UpdateCell({ device }: { device: Device }) {
    const { current_update: current, waiting_updates: waiting } = device;
    if (!current && waiting.length === 0) return dash(null);
    return <Badge state={current ? "update under way" : "update waits"} tone={current ? "work" : "warn"} />;
}

function chosen(): string[] {
    const given = query.value.get("columns");
    return given === null ? DEFAULT : given.split(",").filter(name => PICKABLE.some(one => one.name === name));
}

export function columns(): Column<Device>[] {
    const names = chosen();
    const picked = PICKABLE.filter(one => names.includes(one.name));
    return [
        {
            title: "Device",
            cell: row => (
                <>
                    <a class="strong" href={href(to`/devices/${row.device_id}`)}>{row.device_id}</a>
                    {row.name && row.name !== row.device_id && !names.includes("name") && <span class="muted small"> {row.name}</span>}
                </>
            ),
        },
        ...picked.map(({ title, cell, isNumber }): Column<Device> => ({ title, cell, ...(isNumber ? { isNumber } : {}) })),
    ];
}

export function ColumnPicker() {
    const names = chosen();
    const toggle = (name: string, isOn: boolean): void => {
        const next = PICKABLE.map(one => one.name).filter(one => (one === name ? isOn : names.includes(one)));
        setQuery({ columns: next.join(",") === DEFAULT.join(",") ? null : next.join(",") || "none" }, { replace: true });
    };
    return (
        <details class="picker">
            <summary>Columns</summary>
            <div class="card picker-list">
                {PICKABLE.map(one => <Check key={one.name} label={one.title} checked={names.includes(one.name)} onChange={isOn => toggle(one.name, isOn)} />)}
            </div>
        </details>
    );
}
