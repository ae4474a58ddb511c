/** People and programs with rights beside those of their tokens. */
import { useState } from "preact/hooks";
import { api, body } from "../api/client.ts";
import { minPosition } from "../api/position.ts";
import { ofKind, useResource } from "../api/resource.ts";
import type { Schemas } from "../api/types.ts";
import { Field, Select } from "../parts/field.tsx";
import { Pager } from "../parts/pager.tsx";
import { Empty, Shown } from "../parts/states.tsx";
import { Table, type Column } from "../parts/table.tsx";
import { href, query, to } from "../router/location.ts";
import { may } from "../session/session.ts";
import { at } from "../time/clock.ts";
import { Ask } from "./ask.tsx";
import { FormDialog } from "./form.tsx";
import { listOf, sayGrant } from "./rules.ts";

const PAGE_ROWS = 50;
/** Most grants of a member. */
const GRANTS_MAX = 16;

type Member = Schemas["MemberBody"];

export function Members() {
    const cursor = query.value.get("cursor") ?? undefined;
    const [open, setOpen] = useState<Member | "new" | null>(null);
    const members = useResource(`members ${cursor}`, signal =>
        body(api.GET("/members", { signal, params: { query: { cursor, limit: PAGE_ROWS, ...minPosition() } } })), ofKind("member"));
    const columns: Column<Member>[] = [
        { title: "Member", cell: row => may("auditor") ? <a class="strong" href={href("/audit", { actor: row.member })}>{row.member}</a> : <span class="strong">{row.member}</span> },
        { title: "May be", cell: row => <ul>{row.grants.map(grant => <li key={sayGrant(grant)}>{sayGrant(grant)}</li>)}</ul> },
        { title: "Actions", cell: row => may("admin") && !at.value && (
            <div class="buttons">
                <button aria-label={`Change: ${row.member}`} onClick={() => setOpen(row)}>Change</button>
                <Ask action={remove(row)} about={row.member} onDone={members.reload} />
            </div>
        ) },
    ];
    return (
        <div class="stack">
            <p class="muted">Rights beside those that a person's sign-in or a program's key brings.</p>
            {may("admin") && !at.value && <div class="buttons"><button class="primary" onClick={() => setOpen("new")}>Grant rights</button></div>}
            <Shown of={members}>
                {list => list.items.length === 0 ? (
                    <Empty title="Nobody has rights beside those of the sign-in"><pre class="cli">{`waybill member grant user:ann --grants '[{"role":"operator"}]'`}</pre></Empty>
                ) : (
                    <>
                        <Table caption="Members" columns={columns} rows={list.items} id={row => row.member} />
                        <Pager next={list.next_cursor} shown={list.items.length} />
                    </>
                )}
            </Shown>
            {open && (
                <Grants member={open === "new" ? null : open} onClose={() => setOpen(null)} onDone={() => {
                    setOpen(null);
                    members.reload();
                }} />
            )}
        </div>
    );
}

function remove(row: Member) {
    return {
        command: "remove", label: "Take away", tone: "danger" as const, needsReason: true, request: { method: "DELETE" as const, path: to`/members/${row.member}` },
        cli: `waybill member delete ${row.member}`,
        explains: <p>{row.member} keeps only what the sign-in or the key brings, within a second.</p>,
    };
}

interface Typed {
    role: string;
    scope: "tenant" | "own" | "groups";
    groups: string;
}

function typed(grant: Member["grants"][number]): Typed {
    const groups = grant.groups ?? [];
    return { role: grant.role, scope: groups.length > 0 ? "groups" : grant.own ? "own" : "tenant", groups: groups.join(", ") };
}

function Grants({ member, onClose, onDone }: { member: Member | null; onClose: () => void; onDone: () => void }) {
    const [name, setName] = useState(member?.member ?? "user:");
    const [grants, setGrants] = useState<Typed[]>(member?.grants.map(typed) ?? [{ role: "viewer", scope: "tenant", groups: "" }]);
    const change = (at: number, part: Partial<Typed>): void => setGrants(grants.map((one, n) => (n === at ? { ...one, ...part } : one)));
    const sent = grants.map(({ role, scope, groups }) => ({ role, ...(scope === "own" ? { own: true } : {}), ...(scope === "groups" ? { groups: listOf(groups) } : {}) }));
    return (
        <FormDialog title={member ? `Rights of ${member.member}` : "Grant rights"} label="Grant" isReady={/^\w+:.+/.test(name) && grants.length > 0} onClose={onClose} onDone={onDone}
            command={{ method: "PUT", path: to`/members/${name}`, body: { grants: sent } }}>
            {error => (
                <>
                    {!member && <Field label="Member" value={name} onInput={setName} error={error("member")} hint="user:…, key:… or service:…, as in histories." />}
                    {grants.map((grant, n) => (
                        <div key={n} class="grant">
                            <div class="pair top">
                                <Select label={`Role ${n + 1}`} value={grant.role} options={["viewer", "operator", "approver", "admin"]} onChange={role => change(n, { role })} error={error(`grants[${n}].role`)} />
                                <Select label={`Of ${n + 1}`} value={grant.scope} onChange={scope => change(n, { scope: scope as Typed["scope"] })}
                                    options={[{ value: "tenant", label: "the whole tenant" }, { value: "groups", label: "devices of groups" }, { value: "own", label: "own devices" }]} />
                            </div>
                            {grant.scope === "groups" && <Field label={`Groups ${n + 1}`} value={grant.groups} onInput={groups => change(n, { groups })} error={error(`grants[${n}].groups`)} hint="Ids, separated by commas." />}
                            {grants.length > 1 && <div class="buttons"><button type="button" onClick={() => setGrants(grants.filter((_, other) => other !== n))}>Remove grant {n + 1}</button></div>}
                        </div>
                    ))}
                    {grants.length < GRANTS_MAX && (
                        <div class="buttons"><button type="button" onClick={() => setGrants([...grants, { role: "viewer", scope: "groups", groups: "" }])}>One more grant</button></div>
                    )}
                </>
            )}
        </FormDialog>
    );
}
