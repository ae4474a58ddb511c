/** The form of a connection to ChirpStack, with a check that keeps nothing. */
import { useState } from "preact/hooks";
import { sentence } from "../api/problem.ts";
import type { Schemas } from "../api/types.ts";
import { Field, Text } from "../parts/field.tsx";
import { to } from "../router/location.ts";
import { words } from "../time/format.ts";
import { type ChirpStackForm as Form, formOf, requestOf } from "./chirpstack_form.ts";
import { useSubmit } from "./submit.ts";

interface Props {
    tenant: string;
    known: Schemas["ChirpStackBody"] | null;
    onClose: () => void;
    onDone: () => void;
}

export function ChirpStackForm({ tenant, known, onClose, onDone }: Props) {
    const [form, setForm] = useState<Form>(formOf(known));
    const [reason, setReason] = useState("");
    const [check, setCheck] = useState<Schemas["CheckBody"] | null>(null);
    const { submit, problem, isBusy, error } = useSubmit();
    const send = async (dryRun: boolean): Promise<void> => {
        setCheck(null);
        const sent = await submit({ method: "PUT", path: to`/tenants/${tenant}/chirpstack`, body: { ...requestOf(form), ...(reason ? { reason } : {}) } }, { dryRun });
        if (sent && dryRun) setCheck((sent.check as Schemas["CheckBody"] | null | undefined) ?? null);
        if (sent && !dryRun) onDone();
    };
    const stays = (state: string | undefined) => (state === "set" ? "It is set. Empty: it stays." : "It is never shown again.");
    const field = (name: keyof Form, label: string, hint?: string, type: "text" | "password" = "text") => (
        <Field label={label} value={form[name]} type={type} autocomplete="off" hint={hint} error={error(name) ?? error(name.replace("mqtt_", "mqtt."))}
            onInput={value => setForm({ ...form, [name]: value })} />
    );
    return (
        <form class="card stack" onSubmit={event => {
            event.preventDefault();
            void send(false);
        }}>
            <h2>{known ? "Change the connection" : "Connect to ChirpStack"}</h2>
            <div class="pair top">
                {field("url", "gRPC API", "http:// or https://, host and port.")}
                {field("chirpstack_tenant_id", "Tenant in ChirpStack")}
                {field("api_key", "Key", stays(known?.api_key), "password")}
            </div>
            <div class="pair top">
                {field("webhook_secret", "Webhook secret", stays(known?.webhook_secret), "password")}
                {field("webhook_header", "Webhook header", "Empty: X-Waybill-Webhook-Secret.")}
                {field("default_device_profile_id", "Device profile", "For devices that name none.")}
            </div>
            <div class="pair top">
                <Text label="Applications to import" value={form.auto_import} onInput={auto_import => setForm({ ...form, auto_import })} error={error("auto_import")}
                    hint="Ids; their new devices come by themselves." />
                <Text label="Certificates (PEM)" value={form.ca} onInput={ca => setForm({ ...form, ca })} error={error("ca")} hint="Empty: the system's." />
            </div>
            <details open={form.mqtt_url !== ""}>
                <summary>Events over MQTT</summary>
                <div class="stack">
                    <div class="pair top">
                        {field("mqtt_url", "Broker", "mqtt:// or mqtts://, host and port.")}
                        {field("mqtt_username", "User")}
                        {field("mqtt_password", "Password", stays(known?.mqtt?.password), "password")}
                    </div>
                    {field("mqtt_topic", "Topic of events", "Empty: as ChirpStack has it by default.")}
                    <Text label="Certificates of the broker (PEM)" value={form.mqtt_ca} onInput={mqtt_ca => setForm({ ...form, mqtt_ca })} error={error("mqtt.ca")} />
                </div>
            </details>
            <Field label="Reason" value={reason} onInput={setReason} hint="It is kept in the log." />
            {problem && <p class="error" role="alert">{sentence(problem)}</p>}
            {check && (
                <p class={`notice ${check.result === "ok" ? "ok" : "bad"}`} role="status">
                    <span>
                        <span aria-hidden="true">{check.result === "ok" ? "✓ " : "✕ "}</span>
                        {check.result === "ok" ? "ChirpStack answers and takes the key. Nothing is kept yet." : `The check says “${words(check.result)}”. ${check.detail ?? ""}`}
                    </span>
                </p>
            )}
            <div class="buttons">
                <button type="button" onClick={onClose}>Back</button>
                <button type="button" disabled={isBusy} onClick={() => void send(true)}>Check</button>
                <button class="primary" disabled={isBusy || form.url === "" || form.chirpstack_tenant_id === ""}>{known ? "Change" : "Connect"}</button>
            </div>
        </form>
    );
}
