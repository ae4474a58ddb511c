/** The fields of a campaign, in cards: what, to whom, how, when. */
import { api, body } from "../api/client.ts";
import { useResource } from "../api/resource.ts";
import { Check, Field, Select, Text } from "../parts/field.tsx";
import { words } from "../time/format.ts";
import { type Form, type Targets, WITH_WAVES } from "./form.ts";

/** Most firmware and groups to choose from. */
const CHOICES_MAX = 100;
const DAYS = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];
const STRATEGIES = [
    { value: "staged", label: "staged: in waves" },
    { value: "canary", label: "canary: a few first, then all" },
    { value: "immediate", label: "immediate: all at once" },
    { value: "blue_green", label: "blue/green: install first, then activate in waves" },
];
const TARGETS: { value: Targets; label: string }[] = [
    { value: "all", label: "all devices" },
    { value: "filter", label: "devices that match" },
    { value: "groups", label: "groups" },
    { value: "devices", label: "a list of devices" },
];

interface Props {
    form: Form;
    change: (part: Partial<Form>) => void;
    error: (field: string) => string | undefined;
}

export function FormFields(props: Props) {
    const { form, change, error } = props;
    const firmwares = useResource("firmware-choices", signal => body(api.GET("/firmware", { signal, params: { query: { limit: CHOICES_MAX } } })));
    const choices = (firmwares.data?.items ?? []).map(one => ({ value: one.firmware_id, label: `${one.name} ${one.version} (${one.device_model})` }));
    const isListed = form.firmware_id === "" || choices.some(choice => choice.value === form.firmware_id);
    return (
        <>
            <div class="card stack">
                <h2>What</h2>
                <Field label="Name" value={form.name} onInput={name => change({ name })} error={error("name")} required
                    hint="Public: readers of the feed see it." />
                <Select label="Firmware" value={form.firmware_id} onChange={firmware_id => change({ firmware_id })} error={error("firmware_id")}
                    options={[{ value: "", label: "choose …" }, ...(isListed ? [] : [{ value: form.firmware_id, label: form.firmware_id }]), ...choices]} />
                <Field label="Description" value={form.description} onInput={description => change({ description })} error={error("description")} />
            </div>
            <Who {...props} />
            <How {...props} />
            <When {...props} />
        </>
    );
}

function Who({ form, change, error }: Props) {
    const groups = useResource(form.targets === "groups" ? "group-choices" : null, signal =>
        body(api.GET("/groups", { signal, params: { query: { limit: CHOICES_MAX } } })));
    const toggle = (id: string, isOn: boolean): void => change({ groups: isOn ? [...form.groups, id] : form.groups.filter(one => one !== id) });
    return (
        <div class="card stack">
            <h2>To whom</h2>
            <Select label="Devices" value={form.targets} options={TARGETS} onChange={targets => change({ targets: targets as Targets })}
                error={error("target_devices") ?? error("target_groups") ?? error("target_filters")} />
            {form.targets === "filter" && (
                <div class="pair">
                    <Field label="Device type" value={form.device_type} onInput={device_type => change({ device_type })} />
                    <Field label="Model" value={form.device_model} onInput={device_model => change({ device_model })} />
                    <Field label="Hardware version" value={form.hardware_version} onInput={hardware_version => change({ hardware_version })} />
                    <Field label="Runs version" value={form.firmware_version} placeholder="<2.0.0" onInput={firmware_version => change({ firmware_version })} />
                    <Field label="Tags" value={form.tags} placeholder="site=lab, floor=3" onInput={tags => change({ tags })} />
                </div>
            )}
            {form.targets === "devices" && (
                <Text label="Ids" value={form.devices} onInput={devices => change({ devices })} hint="Separated by blanks, commas or lines." rows={5} />
            )}
            {form.targets === "groups" && (groups.data?.items.length === 0
                ? <p class="muted">There is no group yet.</p>
                : (groups.data?.items ?? []).map(group => (
                    <Check key={group.group_id} label={group.name ?? group.group_id} checked={form.groups.includes(group.group_id)}
                        onChange={isOn => toggle(group.group_id, isOn)} />
                )))}
        </div>
    );
}

function How({ form, change, error }: Props) {
    return (
        <div class="card stack">
            <h2>How</h2>
            <Select label="Strategy" value={form.deployment_strategy} options={STRATEGIES} onChange={deployment_strategy => change({ deployment_strategy })}
                error={error("deployment_strategy")} />
            {WITH_WAVES.includes(form.deployment_strategy) && (
                <>
                    <Field label="Waves, %" value={form.waves} onInput={waves => change({ waves })} hint="Rising shares of the devices, the last 100." error={error("waves")} />
                    <Check label="A person opens each further wave" checked={form.isManual} onChange={isManual => change({ isManual })} />
                </>
            )}
            {form.deployment_strategy === "canary" && (
                <Field label="Canary, %" type="number" min={1} max={99} placeholder="5" value={form.canary_percentage}
                    onInput={canary_percentage => change({ canary_percentage })} error={error("canary_percentage")} />
            )}
            <div class="pair">
                <Field label="Failures, at most %" type="number" min={0} max={100} placeholder="20" value={form.failure_threshold_percent}
                    onInput={failure_threshold_percent => change({ failure_threshold_percent })} error={error("failure_threshold_percent")} />
                <Field label="Judge after settled devices" type="number" min={0} placeholder="10" value={form.gate_min_settled}
                    onInput={gate_min_settled => change({ gate_min_settled })} error={error("gate_min_settled")} />
                <Field label="Soak, minutes" type="number" min={0} value={form.soak_minutes}
                    onInput={soak_minutes => change({ soak_minutes })} error={error("soak_minutes")} />
                <Field label="Devices at a time" type="number" min={1} placeholder="100" value={form.max_concurrent_updates}
                    onInput={max_concurrent_updates => change({ max_concurrent_updates })} error={error("max_concurrent_updates")} />
                <Field label="Devices a minute" type="number" min={1} placeholder="no limit" value={form.rate_per_minute}
                    onInput={rate_per_minute => change({ rate_per_minute })} error={error("rate_per_minute")} />
            </div>
            <Check label="Roll back by itself when the failure gate closes" checked={form.auto_rollback} onChange={auto_rollback => change({ auto_rollback })} />
            <Check label="Allow a downgrade" checked={form.allow_downgrade} onChange={allow_downgrade => change({ allow_downgrade })} />
        </div>
    );
}

function When({ form, change, error }: Props) {
    const toggle = (day: string, isOn: boolean): void => change({ window_days: DAYS.filter(one => (one === day ? isOn : form.window_days.includes(one))) });
    return (
        <div class="card stack">
            <h2>When</h2>
            <Check label="Another person must approve it" checked={form.requires_approval} onChange={requires_approval => change({ requires_approval })} />
            <Field label="Start at" type="datetime-local" value={form.scheduled_start} onInput={scheduled_start => change({ scheduled_start })}
                hint="In the zone of this browser. Empty: when it is started." error={error("scheduled_start")} />
            <details open={form.window_start !== ""}>
                <summary>Maintenance window</summary>
                <div class="stack">
                    <div class="buttons">
                        {DAYS.map(day => <Check key={day} label={words(day).slice(0, 3)} checked={form.window_days.includes(day)} onChange={isOn => toggle(day, isOn)} />)}
                    </div>
                    <div class="pair">
                        <Field label="From" placeholder="22:00" value={form.window_start} onInput={window_start => change({ window_start })} />
                        <Field label="Until" placeholder="04:00" value={form.window_end} onInput={window_end => change({ window_end })} />
                        <Field label="Zone" value={form.window_zone} onInput={window_zone => change({ window_zone })} hint="An IANA name, or: device" error={error("maintenance_window")} />
                    </div>
                </div>
            </details>
        </div>
    );
}
