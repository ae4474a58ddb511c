/** Keys whose signatures of firmware the tenant trusts. */
import { useState } from "preact/hooks";
import { api, body } from "../api/client.ts";
import { ofKind, useResource } from "../api/resource.ts";
import type { Schemas } from "../api/types.ts";
import { Field, Text } from "../parts/field.tsx";
import { Empty, Shown } from "../parts/states.tsx";
import { Table, type Column } from "../parts/table.tsx";
import { to } from "../router/location.ts";
import { may, session } from "../session/session.ts";
import { at } from "../time/clock.ts";
import { several } from "../time/format.ts";
import { Ask } from "./ask.tsx";
import { FormDialog } from "./form.tsx";

type Key = Schemas["TrustedKeyBody"];

const ALGORITHMS: Record<string, string> = { ed25519: "Ed25519", ecdsa_p256: "ECDSA with P-256" };

export function TrustedKeys() {
    const tenant = session.value?.tenant_id ?? "";
    const [isOpen, setOpen] = useState(false);
    const keys = useResource(`trusted-keys ${tenant}`, signal =>
        body(api.GET("/tenants/{tenant_id}/trusted-keys", { signal, params: { path: { tenant_id: tenant } } })), ofKind("tenant"));
    const columns: Column<Key>[] = [
        { title: "Key", cell: row => <><span class="strong">{row.name ?? "no name"}</span> <code class="muted">{row.key}</code></> },
        { title: "Algorithm", cell: row => ALGORITHMS[row.algorithm] ?? row.algorithm },
        { title: "Fingerprint", cell: row => <code class="digest">{row.fingerprint}</code> },
        { title: "Public key", cell: row => <details><summary>Show</summary><pre class="cli">{row.public_key}</pre></details> },
        { title: "Actions", cell: row => may("admin") && <Ask action={distrust(tenant, row)} about={row.name ?? row.key} onDone={keys.reload} /> },
    ];
    return (
        <div class="stack">
            {may("admin") && !at.value && <div class="buttons"><button class="primary" onClick={() => setOpen(true)}>Trust a key</button></div>}
            <Shown of={keys}>
                {list => (
                    <>
                        <p class="muted">
                            {list.require_signatures === 0 ? "Firmware may go out unsigned." : `Firmware goes out with ${several(list.require_signatures, "signature")} by different trusted keys.`}
                        </p>
                        {list.items.length === 0
                            ? <Empty title="No key is trusted"><pre class="cli">waybill trusted-key create --name "build server" --public-key "$(cat build-server.pub)"</pre></Empty>
                            : <Table caption="Trusted keys" columns={columns} rows={list.items} id={row => row.fingerprint} />}
                    </>
                )}
            </Shown>
            {isOpen && (
                <Trust tenant={tenant} onClose={() => setOpen(false)} onDone={() => {
                    setOpen(false);
                    keys.reload();
                }} />
            )}
        </div>
    );
}

function distrust(tenant: string, key: Key) {
    return {
        command: "distrust", label: "Distrust", tone: "danger" as const, needsReason: true,
        request: { method: "DELETE" as const, path: to`/tenants/${tenant}/trusted-keys/${key.fingerprint}` }, cli: `waybill trusted-key delete ${key.fingerprint}`,
        explains: <p>Its signatures count no longer. If the tenant requires signatures, firmware that lacks another one stops going out at once, also in running campaigns.</p>,
    };
}

function Trust({ tenant, onClose, onDone }: { tenant: string; onClose: () => void; onDone: () => void }) {
    const [name, setName] = useState("");
    const [key, setKey] = useState("");
    return (
        <FormDialog title="Trust a key" label="Trust" isReady={key.trim() !== ""} onClose={onClose} onDone={onDone}
            command={{ method: "POST", path: to`/tenants/${tenant}/trusted-keys`, body: { public_key: key, ...(name ? { name } : {}) } }}>
            {error => (
                <>
                    <Field label="Name" value={name} onInput={setName} error={error("name")} hint="Whose it is, or where it is kept." />
                    <Text label="Public key" rows={5} value={key} onInput={setKey} error={error("public_key")}
                        hint="PEM of Ed25519 or of ECDSA with P-256, minisign's public key, or 32 bytes of an Ed25519 key in base64. Never a private key." />
                </>
            )}
        </FormDialog>
    );
}
