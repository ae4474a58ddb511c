/** The tenant's connection to its ChirpStack: its secrets are written, never read; it is checked before it is kept. */
import { useState } from "preact/hooks";
import { api, asProblem, body } from "../api/client.ts";
import { minPosition } from "../api/position.ts";
import { ofKind, useResource } from "../api/resource.ts";
import type { Schemas } from "../api/types.ts";
import { Badge } from "../parts/badge.tsx";
import { Facts } from "../parts/facts.tsx";
import { Empty, Shown } from "../parts/states.tsx";
import { to } from "../router/location.ts";
import { may, session } from "../session/session.ts";
import { at } from "../time/clock.ts";
import { count } from "../time/format.ts";
import { Ask } from "./ask.tsx";
import { ChirpStackForm } from "./chirpstack_fields.tsx";
import { Import } from "./chirpstack_import.tsx";

type Body = Schemas["ChirpStackBody"];

/** Events of the tenant that are looked at. */
const HISTORY_ROWS = 200;

const CONNECTED = "tenant.chirpstack_connected";
const DISCONNECTED = "tenant.chirpstack_disconnected";

/**
 * The connection; null: there is none. The history says so first, because a browser shows each reply 404 as an error. If the latest events don't
 * say it, the connection itself is asked for.
 */
async function read(tenant: string, signal: AbortSignal): Promise<Body | null> {
    const query = { order: "desc" as const, limit: HISTORY_ROWS, ...minPosition() };
    const history = await body(api.GET("/tenants/{tenant_id}/history", { signal, params: { path: { tenant_id: tenant }, query } }));
    const last = history.items.find(item => item.type === CONNECTED || item.type === DISCONNECTED);
    if (last?.type === DISCONNECTED || (!last && !history.next_cursor)) return null;
    try {
        return await body(api.GET("/tenants/{tenant_id}/chirpstack", { signal, params: { path: { tenant_id: tenant } } }));
    } catch (thrown) {
        if (asProblem(thrown).status === 404) return null;
        throw thrown;
    }
}

export function ChirpStack() {
    const tenant = session.value?.tenant_id ?? "";
    const [isOpen, setOpen] = useState(false);
    const connection = useResource(`chirpstack ${tenant}`, signal => read(tenant, signal), ofKind("tenant"));
    const mayChange = may("admin") && !at.value;
    return (
        <div class="stack">
            <Shown of={connection}>
                {known => (
                    <>
                        {known ? <Known known={known} /> : !isOpen && (
                            <Empty title="The tenant has no connection to a ChirpStack">
                                <p class="muted">With one, LoRaWAN devices get firmware over multicast, and their events come in.</p>
                            </Empty>
                        )}
                        {mayChange && !isOpen && (
                            <div class="buttons">
                                <button class="primary" onClick={() => setOpen(true)}>{known ? "Change the connection" : "Connect"}</button>
                                {known && <Ask action={disconnect(tenant)} about="ChirpStack" onDone={connection.reload} />}
                            </div>
                        )}
                        {isOpen && (
                            <ChirpStackForm tenant={tenant} known={known} onClose={() => setOpen(false)} onDone={() => {
                                setOpen(false);
                                connection.reload();
                            }} />
                        )}
                        {known && mayChange && !isOpen && <Import />}
                    </>
                )}
            </Shown>
        </div>
    );
}

function Known({ known }: { known: Body }) {
    const secret = (state: string) => <Badge state={state} tone={state === "set" ? "ok" : "plain"} />;
    return (
        <section class="card stack" aria-labelledby="connection">
            <h2 id="connection">Connection</h2>
            <Facts facts={[
                ["gRPC API", <code class="digest">{known.url}</code>], ["Tenant in ChirpStack", <code class="digest">{known.chirpstack_tenant_id}</code>],
                ["Key", secret(known.api_key)], ["Webhook secret", secret(known.webhook_secret)], ["Webhook header", known.webhook_header],
                ["Certificates", known.ca ? "its own" : "the system's"], ["Device profile", known.default_device_profile_id ?? "none by default"],
                ["Imports", known.auto_import.length > 0 ? known.auto_import.join(", ") : "nothing by itself"],
                known.mqtt ? ["MQTT", <><code class="digest">{known.mqtt.url}</code> {known.mqtt.username ?? ""}, password {known.mqtt.password}</>] : ["MQTT", "not used"],
                known.mqtt ? ["Topic", <code class="digest">{known.mqtt.event_topic}</code>] : null,
                ["Was set", `${count(known.revision)} times`],
            ]} />
        </section>
    );
}

function disconnect(tenant: string) {
    return {
        command: "disconnect", label: "Disconnect", tone: "danger" as const, needsReason: true, typed: tenant, cli: `waybill tenant disconnect-chirpstack ${tenant}`,
        request: { method: "DELETE" as const, path: to`/tenants/${tenant}/chirpstack` },
        explains: <p>LoRaWAN devices get nothing any more, and their events are refused. Its secrets are removed.</p>,
    };
}
