/** Chooses a firmware, for devices of one model if it is known. */
import { api, body } from "../api/client.ts";
import { ofKind, useResource } from "../api/resource.ts";
import { Select } from "../parts/field.tsx";

/** Most firmware that is offered. */
const FIRMWARE_MAX = 200;

export function FirmwareSelect({ label = "Firmware", value, onChange, model, error, none = "choose" }: {
    label?: string;
    value: string;
    onChange: (id: string) => void;
    model?: string | null | undefined;
    error?: string | undefined;
    /** What the choice of none is called. */
    none?: string;
}) {
    const found = useResource(`firmware-for ${model ?? ""}`, signal =>
        body(api.GET("/firmware", { signal, params: { query: { limit: FIRMWARE_MAX, ...(model ? { device_model: model } : {}) } } })), ofKind("firmware"));
    const items = found.data?.items ?? [];
    const hint = found.data && items.length === 0 ? (model ? `There is no firmware for ${model}.` : "There is no firmware yet.") : undefined;
    return (
        <Select label={label} value={value} onChange={onChange} hint={hint} error={error}
            options={[{ value: "", label: none }, ...items.map(one => ({
                value: one.firmware_id,
                label: `${one.name} ${one.version}${one.status === "active" ? "" : ` (${one.status})`}${model ? "" : ` · ${one.device_model}`}`,
            }))]} />
    );
}
