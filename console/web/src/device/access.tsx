/** How a device logs in: its credentials. A token is shown once, when it is issued. */
import { useState } from "preact/hooks";
import { api, body } from "../api/client.ts";
import { minPosition } from "../api/position.ts";
import { of, useResource } from "../api/resource.ts";
import type { Device, Schemas } from "../api/types.ts";
import { Confirm, type Action } from "../parts/action.tsx";
import { Badge } from "../parts/badge.tsx";
import { Copy } from "../parts/copy.tsx";
import { Dialog } from "../parts/dialog.tsx";
import { Facts } from "../parts/facts.tsx";
import { Field, Text } from "../parts/field.tsx";
import { Empty, Shown } from "../parts/states.tsx";
import { Table, type Column } from "../parts/table.tsx";
import { to } from "../router/location.ts";
import { may } from "../session/session.ts";
import { Time } from "../time/time.tsx";
import { Ask } from "./ask.tsx";

type Credential = Schemas["CredentialBody"];

interface Issued {
    token: string | null;
    mqtt: Schemas["MqttLogin"] | null;
}

export function Access({ device }: { device: Device }) {
    const id = device.device_id;
    const [isOpen, setOpen] = useState(false);
    const [issued, setIssued] = useState<Issued | null>(null);
    const [revoked, setRevoked] = useState<Credential | null>(null);
    const credentials = useResource(`credentials ${id}`, signal =>
        body(api.GET("/devices/{device_id}/credentials", { signal, params: { path: { device_id: id }, query: minPosition() } })), of("device", id));
    const columns: Column<Credential>[] = [
        { title: "Credential", cell: row => <code>{row.credential_id}</code> },
        { title: "State", cell: row => <Badge state={row.expired ? "expired" : "active"} /> },
        { title: "Issued by", cell: row => row.by },
        { title: "Issued", cell: row => <Time at={row.issued_at} relative /> },
        { title: "Expires", cell: row => (row.expires_at ? <Time at={row.expires_at} relative /> : "when it is revoked") },
        ...(may("operator") ? [{ title: "Do", cell: (row: Credential) => <button class="danger" onClick={() => setRevoked(row)}>Revoke</button> }] : []),
    ];
    const revoke: Action | null = revoked && {
        command: "revoke", label: "Revoke the credential", tone: "danger", request: { method: "DELETE", path: to`/devices/${id}/credentials/${revoked.credential_id}` },
        explains: <p>The device can't log in with it any more, and is disconnected. {credentials.data?.items.length === 1 && "It is the only one."}</p>,
    };
    return (
        <div class="stack">
            {may("operator") && device.lifecycle === "active" && (
                <div class="buttons" data-actions><button class="primary" onClick={() => setOpen(true)}>Issue a credential</button></div>
            )}
            <Shown of={credentials}>
                {list => list.items.length === 0
                    ? <Empty title="The device has no credential"><p class="muted">It can't log in until one is issued, or until it registers itself.</p></Empty>
                    : <Table caption="Credentials" columns={columns} rows={list.items} id={row => row.credential_id} />}
            </Shown>
            {isOpen && (
                <Issue id={id} onClose={() => setOpen(false)} onTaken={taken => {
                    setOpen(false);
                    setIssued(taken);
                    credentials.reload();
                }} />
            )}
            {issued && <Once issued={issued} onClose={() => setIssued(null)} />}
            {revoke && (
                <Confirm action={revoke} onClose={() => setRevoked(null)} onTaken={() => {
                    setRevoked(null);
                    credentials.reload();
                }} />
            )}
        </div>
    );
}

function Issue({ id, onClose, onTaken }: { id: string; onClose: () => void; onTaken: (issued: Issued) => void }) {
    const [until, setUntil] = useState("");
    const [certificate, setCertificate] = useState("");
    const ends = until ? new Date(until) : null;
    const body = {
        ...(ends && !Number.isNaN(ends.getTime()) ? { expires_at: ends.toISOString() } : {}),
        ...(certificate.trim() ? { certificate } : {}),
    };
    return (
        <Ask title={`Issue a credential to ${id}`} verb="Issue" request={() => ({ method: "POST", path: to`/devices/${id}/credentials`, body })} onClose={onClose}
            onTaken={reply => onTaken({ token: typeof reply.token === "string" ? reply.token : null, mqtt: (reply.mqtt ?? null) as Issued["mqtt"] })}>
            {errors => (
                <>
                    <Field label="Expires" type="datetime-local" value={until} onInput={setUntil} error={errors.expires_at} hint="In the zone of this browser. Empty: when it is revoked." />
                    <details>
                        <summary>A client certificate in place of a token</summary>
                        <Text label="Certificate" value={certificate} onInput={setCertificate} rows={5} error={errors.certificate} hint="PEM" />
                    </details>
                </>
            )}
        </Ask>
    );
}

/** The only time that the token is seen. */
function Once({ issued, onClose }: { issued: Issued; onClose: () => void }) {
    return (
        <Dialog title="The credential" onClose={onClose}>
            {issued.token ? (
                <>
                    <p class="notice warn"><span><span aria-hidden="true">! </span>Copy the token now: it is not shown again.</span></p>
                    <pre class="cli">{issued.token}</pre>
                    <div class="buttons"><Copy text={issued.token} label="Copy the token" /></div>
                </>
            ) : <p>The certificate counts from now on.</p>}
            {issued.mqtt && (
                <Facts facts={[
                    ["MQTT user", <code>{issued.mqtt.username}</code>],
                    ["Client id", <code>{issued.mqtt.client_id}</code>],
                    ["Topics begin with", <code>{issued.mqtt.topic_prefix}</code>],
                ]} />
            )}
            <div class="buttons"><button class="primary" onClick={onClose}>I have it</button></div>
        </Dialog>
    );
}
