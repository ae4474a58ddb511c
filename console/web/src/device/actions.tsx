/** What can be done with a device: a button for each command that the service would take now. */
import { useState } from "preact/hooks";
import { shortPosition } from "../api/position.ts";
import type { Device } from "../api/types.ts";
import { Actions, type Action } from "../parts/action.tsx";
import { Check, Field, Select } from "../parts/field.tsx";
import { to } from "../router/location.ts";
import { at } from "../time/clock.ts";
import { Ask, type FormProps } from "./ask.tsx";
import { Edit } from "./edit.tsx";
import { FirmwareSelect } from "./firmware_select.tsx";

type Form = "update" | "roll_back" | "hold" | "amend";

const FORMS: readonly [command: Form, label: string][] = [["update", "Update"], ["roll_back", "Roll back"], ["hold", "Hold"], ["amend", "Edit"]];

export function DeviceActions({ device, reload }: { device: Device; reload: () => void }) {
    const [open, setOpen] = useState<Form | null>(null);
    const [done, setDone] = useState<string | null>(null);
    const id = device.device_id;
    const path = to`/devices/${id}`;
    const allowed = device.allowed_commands ?? [];
    const forms = FORMS.filter(([command]) => allowed.includes(command));
    // Those that are refused have no form: they only say why.
    const refused: Action[] = FORMS.filter(([command]) => !allowed.includes(command))
        .map(([command, label]) => ({ command, label, explains: null, request: { method: "POST", path } }));
    const actions: Action[] = [
        { command: "release", label: "Release", tone: "primary", request: { method: "POST", path: `${path}/release` }, cli: `waybill device release ${id}`,
            explains: <p>Campaigns and updates may reach the device again.</p> },
        ...refused,
        { command: "decommission", label: "Decommission", tone: "danger", typed: id, request: { method: "DELETE", path }, cli: `waybill device delete ${id}`,
            explains: <p>The device leaves the fleet: its credentials are revoked, its update is cancelled. The log keeps its history.</p> },
    ];
    const taken = (label: string, position: string | undefined): void => {
        setOpen(null);
        setDone(`${label}: taken${position ? ` at #${shortPosition(position)}` : ""}.`);
        reload();
    };
    const form = FORMS.find(([command]) => command === open);
    const common = { onClose: () => setOpen(null), onTaken: (position: string | undefined) => taken(form?.[1] ?? "", position), device };
    return (
        <div class="buttons">
            {!at.value && forms.map(([command, label]) => (
                <button key={command} class={command === "update" ? "primary" : undefined} onClick={() => setOpen(command)}>{label}</button>
            ))}
            <Actions actions={actions} allowed={allowed} whyNot={device.why_not ?? undefined} onDone={reload} />
            <span role="status" class="muted small">{done}</span>
            {open === "update" && <UpdateForm {...common} />}
            {open === "roll_back" && <RollbackForm {...common} />}
            {open === "hold" && <HoldForm {...common} />}
            {open === "amend" && <Edit {...common} />}
        </div>
    );
}

function UpdateForm({ device, onClose, onTaken }: FormProps) {
    const [firmware, setFirmware] = useState("");
    const [isDown, setDown] = useState(false);
    const [isForced, setForced] = useState(false);
    const [isFirst, setFirst] = useState(false);
    const id = device.device_id;
    return (
        <Ask title={`Update ${id}`} verb="Update" onClose={onClose} onTaken={reply => onTaken(reply.position)}
            cli={firmware ? `waybill device update ${id} --firmware ${firmware}` : undefined}
            request={() => (firmware ? {
                method: "POST", path: `${to`/devices/${id}`}/update`,
                body: { firmware_id: firmware, ...(isDown ? { allow_downgrade: true } : {}), ...(isForced ? { force_update: true } : {}), ...(isFirst ? { priority: "high" } : {}) },
            } : null)}>
            {errors => (
                <>
                    <FirmwareSelect value={firmware} onChange={setFirmware} model={device.device_model} error={errors.firmware_id} />
                    <Check label="Also if it is older than what runs" checked={isDown} onChange={setDown} />
                    <Check label="Also if it runs already" checked={isForced} onChange={setForced} />
                    <Check label="With high priority: somebody waits for it" checked={isFirst} onChange={setFirst} />
                    <p class="muted">Only this device. It waits up to 7 days for the device's answer.</p>
                </>
            )}
        </Ask>
    );
}

function RollbackForm({ device, onClose, onTaken }: FormProps) {
    const components = Object.keys(device.versions);
    const [component, setComponent] = useState(components.includes("firmware") ? "firmware" : (components[0] ?? "firmware"));
    const [version, setVersion] = useState("");
    const id = device.device_id;
    return (
        <Ask title={`Roll back ${id}`} verb="Roll back" tone="danger" onClose={onClose} onTaken={reply => onTaken(reply.position)} cli={`waybill device rollback ${id}`}
            request={() => ({ method: "POST", path: `${to`/devices/${id}`}/rollback`, body: { component, ...(version.trim() ? { to_version: version.trim() } : {}) } })}>
            {errors => (
                <>
                    {components.length > 1 && <Select label="Component" value={component} options={components} onChange={setComponent} />}
                    <Field label="To version" value={version} onInput={setVersion} error={errors.to_version} hint="Empty: the one before the present one." />
                    <p class="muted">Now it runs {device.versions[component] ?? "a version that isn't known"}.</p>
                </>
            )}
        </Ask>
    );
}

function HoldForm({ device, onClose, onTaken }: FormProps) {
    const [until, setUntil] = useState("");
    const id = device.device_id;
    const ends = until ? new Date(until) : null;
    return (
        <Ask title={`Hold ${id}`} verb="Hold" onClose={onClose} onTaken={reply => onTaken(reply.position)} cli={`waybill device hold ${id}`}
            request={() => ({ method: "POST", path: `${to`/devices/${id}`}/hold`, body: ends && !Number.isNaN(ends.getTime()) ? { until: ends.toISOString() } : {} })}>
            {errors => (
                <>
                    <p>No campaign and no update reaches the device while it is held.</p>
                    <Field label="Until" type="datetime-local" value={until} onInput={setUntil} error={errors.until} hint="In the zone of this browser. Empty: until it is released." />
                </>
            )}
        </Ask>
    );
}
