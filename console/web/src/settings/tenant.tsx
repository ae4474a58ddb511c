/** The tenant: its rules, its quotas and its freeze. */
import { useState } from "preact/hooks";
import { api, body } from "../api/client.ts";
import { sentence } from "../api/problem.ts";
import { ofKind, useResource } from "../api/resource.ts";
import type { Schemas } from "../api/types.ts";
import { Actions, type Action } from "../parts/action.tsx";
import { Badge } from "../parts/badge.tsx";
import { Facts } from "../parts/facts.tsx";
import { Check, Field } from "../parts/field.tsx";
import { Shown } from "../parts/states.tsx";
import { href, to } from "../router/location.ts";
import { may, session } from "../session/session.ts";
import { at } from "../time/clock.ts";
import { bytes, count, several } from "../time/format.ts";
import { Time } from "../time/time.tsx";
import { Quotas } from "./quotas.tsx";
import { changed } from "./rules.ts";
import { useSubmit } from "./submit.ts";

type Body = Schemas["TenantBody"];

export function useTenant() {
    const id = session.value?.tenant_id ?? "";
    return useResource(`tenant ${id}`, signal => body(api.GET("/tenants/{tenant_id}", { signal, params: { path: { tenant_id: id } } })), ofKind("tenant"));
}

export function Tenant() {
    const tenant = useTenant();
    return (
        <Shown of={tenant}>
            {data => (
                <div class="columns">
                    <div class="stack">
                        <State tenant={data} reload={tenant.reload} />
                        <section class="card stack" aria-labelledby="quotas">
                            <h2 id="quotas">Quotas</h2>
                            {may("platform_admin") && !at.value ? <Quotas tenant={data} onDone={tenant.reload} /> : <SaidQuotas quotas={data.quotas} />}
                        </section>
                    </div>
                    <Rules key={data.version} tenant={data} reload={tenant.reload} />
                </div>
            )}
        </Shown>
    );
}

function State({ tenant, reload }: { tenant: Body; reload: () => void }) {
    const allowed = tenant.frozen ? (may("approver") ? ["unfreeze"] : []) : may("operator") ? ["freeze"] : [];
    return (
        <section class="card stack" aria-labelledby="state">
            <h2 id="state">{tenant.name ?? tenant.tenant_id}</h2>
            <Facts facts={[
                ["Id", <code>{tenant.tenant_id}</code>], ["State", <Badge state={tenant.status} />],
                ["Updates", tenant.frozen ? <Badge state="frozen" /> : <Badge state="go out" tone="ok" />],
                ["Made", <><Time at={tenant.created_at} /> by {tenant.created_by ?? "–"}</>],
                ["History", may("auditor") ? <a href={href("/audit", { aggregate: "tenant" })}>in the audit</a> : null],
            ]} />
            <Actions actions={freezing(tenant)} allowed={allowed} onDone={reload} />
            {tenant.frozen && !may("approver") && <p class="muted">Approvers may end the freeze.</p>}
        </section>
    );
}

function freezing(tenant: Body): Action[] {
    return [
        {
            command: "freeze", label: "Freeze", tone: "danger", needsReason: true, typed: tenant.tenant_id, request: { method: "POST", path: "/freeze" },
            cli: "waybill tenant freeze", explains: <Stops />,
        },
        {
            command: "unfreeze", label: "End the freeze", tone: "primary", needsReason: true, typed: tenant.tenant_id, request: { method: "POST", path: "/unfreeze" },
            cli: "waybill tenant unfreeze", explains: <p>Campaigns that are running go on at once.</p>,
        },
    ];
}

/** What a freeze would stop now. */
function Stops() {
    const stats = useResource("stats", signal => body(api.GET("/stats", { signal })));
    const running = useResource("running", signal => body(api.GET("/campaigns", { signal, params: { query: { status: "running", count: true, limit: 1 } } })));
    return (
        <>
            <p>Nothing goes out to devices any more: no update and no rollback. What a device has begun runs to its end.</p>
            {running.data && <p>{several(running.data.total ?? 0, "running campaign")} would wait.</p>}
            {stats.data && <p>{several(stats.data.in_flight, "update")} in flight, of {several(stats.data.devices.total, "device")}.</p>}
        </>
    );
}

function SaidQuotas({ quotas }: { quotas: Body["quotas"] }) {
    const said = (value: number | null | undefined, say: (value: number) => string) => (value == null ? "no limit" : say(value));
    return (
        <>
            <Facts facts={[
                ["Devices", said(quotas.devices, count)], ["Firmware", said(quotas.firmware_bytes, bytes)],
                ["Live campaigns", said(quotas.campaigns, count)], ["Requests", said(quotas.requests_per_minute, value => `${count(value)} a minute`)],
            ]} />
            <p class="muted small">Platform admins set them.</p>
        </>
    );
}

function Rules({ tenant, reload }: { tenant: Body; reload: () => void }) {
    const before = {
        require_reason: tenant.rules.require_reason ?? false, require_approval: tenant.rules.require_approval ?? false,
        require_digest_report: tenant.rules.require_digest_report ?? false, require_signatures: tenant.rules.require_signatures ?? 0,
    };
    const [rules, setRules] = useState(before);
    const [name, setName] = useState(tenant.name ?? "");
    const [reason, setReason] = useState("");
    const { submit, problem, isBusy, error } = useSubmit();
    const difference = changed(before, rules);
    const isNamed = name !== (tenant.name ?? "");
    const isChanged = Object.keys(difference).length > 0 || isNamed;
    const mayChange = may("admin") && !at.value;
    const save = async (event: Event): Promise<void> => {
        event.preventDefault();
        const wanted = { ...(isNamed ? { name } : {}), ...(Object.keys(difference).length > 0 ? { rules: difference } : {}), ...(reason ? { reason } : {}) };
        if (await submit({ method: "PATCH", path: to`/tenants/${tenant.tenant_id}`, body: wanted })) reload();
    };
    return (
        <form class="card stack" aria-labelledby="rules" onSubmit={save}>
            <h2 id="rules">Rules</h2>
            <fieldset class="choices stack" disabled={!mayChange}>
                <legend class="hidden">Rules of the tenant</legend>
                <Field label="Name" value={name} onInput={setName} error={error("name")} />
                <Check label="Every campaign needs an approval" checked={rules.require_approval} onChange={require_approval => setRules({ ...rules, require_approval })} />
                <Check label="Commands that change others' work need a reason" checked={rules.require_reason} onChange={require_reason => setRules({ ...rules, require_reason })} />
                <Check label="Devices must report the digest of what they received" checked={rules.require_digest_report}
                    onChange={require_digest_report => setRules({ ...rules, require_digest_report })} />
                <Field label="Signatures by different trusted keys" type="number" min={0} max={8} value={String(rules.require_signatures)} error={error("rules.require_signatures")}
                    hint="0: none. Firmware with fewer goes to no device." onInput={text => setRules({ ...rules, require_signatures: Number(text) })} />
                {mayChange && <Field label="Reason" value={reason} onInput={setReason} hint="It is kept in the log." />}
            </fieldset>
            {problem && <p class="error" role="alert">{sentence(problem)}</p>}
            {mayChange ? <div class="buttons"><button class="primary" disabled={!isChanged || isBusy}>Save</button></div> : <p class="muted small">Admins of the tenant change them.</p>}
        </form>
    );
}
