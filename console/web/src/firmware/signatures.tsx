/** The signatures of a firmware, by key, and further ones. */
import { useState } from "preact/hooks";
import { api, body } from "../api/client.ts";
import { ofKind, useResource } from "../api/resource.ts";
import { Problem, sentence } from "../api/problem.ts";
import { tried } from "../api/send.ts";
import type { Firmware, Schemas } from "../api/types.ts";
import { Badge } from "../parts/badge.tsx";
import { Text } from "../parts/field.tsx";
import { Empty, Shown } from "../parts/states.tsx";
import { Table, type Column } from "../parts/table.tsx";
import { to } from "../router/location.ts";
import { may, session } from "../session/session.ts";
import { at } from "../time/clock.ts";
import { several } from "../time/format.ts";
import { later } from "./signature.ts";

type Keys = Schemas["TrustedKeysBody"];
type Signature = Firmware["signatures"][number];

export function Signatures({ firmware }: { firmware: Firmware }) {
    const tenant = session.value?.tenant_id ?? "";
    const keys = useResource(`trusted-keys ${tenant}`, signal =>
        body(api.GET("/tenants/{tenant_id}/trusted-keys", { signal, params: { path: { tenant_id: tenant } } })), ofKind("tenant"));
    return (
        <div class="stack">
            <Shown of={keys}>{trusted => <Signed firmware={firmware} keys={trusted} />}</Shown>
            {may("operator") && !at.value && <Add firmware={firmware} />}
        </div>
    );
}

function Signed({ firmware, keys }: { firmware: Firmware; keys: Keys }) {
    const keyOf = (signature: Signature) => keys.items.find(key => key.fingerprint === signature.fingerprint);
    const counting = new Set(firmware.signatures.filter(keyOf).map(one => one.fingerprint)).size;
    const needed = keys.require_signatures;
    const columns: Column<Signature>[] = [
        { title: "Key", cell: row => <span class="strong">{keyOf(row)?.name ?? row.key}</span> },
        { title: "Trusted now", cell: row => (keyOf(row) ? <Badge state="trusted" tone="ok" /> : <Badge state="not trusted" tone="warn" />) },
        { title: "Scheme", cell: row => row.scheme },
        { title: "Fingerprint", cell: row => <code class="digest">{row.fingerprint}</code> },
    ];
    return (
        <>
            <p class={`notice ${counting >= needed ? "ok" : "bad"}`}>
                <span>
                    <span aria-hidden="true">{counting >= needed ? "✓ " : "✕ "}</span>
                    {needed === 0
                        ? `The tenant requires no signatures; ${several(counting, "trusted key has", "trusted keys have")} signed.`
                        : `${counting} of ${several(needed, "required signature")} by different trusted keys${counting >= needed ? "" : ": it goes to no device"}.`}
                </span>
            </p>
            {firmware.signatures.length === 0
                ? <Empty title="Nobody has signed it" />
                : <Table caption="Signatures" columns={columns} rows={firmware.signatures} id={row => row.scheme + row.fingerprint} />}
        </>
    );
}

function Add({ firmware }: { firmware: Firmware }) {
    const [text, setText] = useState("");
    const [answer, setAnswer] = useState<Problem | "done" | null>(null);
    const parsed = text.trim() === "" ? null : later(text);
    const submit = async (event: Event): Promise<void> => {
        event.preventDefault();
        if (!parsed || typeof parsed === "string") return;
        const reply = await tried({ method: "POST", path: to`/firmware/${firmware.firmware_id}/signatures`, body: { signatures: [parsed] } });
        setAnswer(reply instanceof Problem ? reply : "done");
        if (!(reply instanceof Problem)) setText("");
    };
    return (
        <form class="card stack" onSubmit={submit}>
            <h3>Add a signature</h3>
            <pre class="cli">
                {`waybill firmware sign --key KEY.pem --device-model ${firmware.device_model} --component ${firmware.component} --version ${firmware.version} FILE`}
            </pre>
            <Text label="Signature" value={text} onInput={setText} hint="What the command prints, or a bundle of cosign."
                error={typeof parsed === "string" ? parsed : undefined} />
            {answer instanceof Problem && <p class="error" role="alert">{sentence(answer)}</p>}
            {answer === "done" && <p role="status">Added.</p>}
            <div class="buttons"><button disabled={parsed === null || typeof parsed === "string"}>Add</button></div>
        </form>
    );
}
