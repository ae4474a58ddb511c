/** Web sessions: the person's own, and for admins those of others. */
import { useState } from "preact/hooks";
import { api, body } from "../api/client.ts";
import { useResource } from "../api/resource.ts";
import type { Schemas } from "../api/types.ts";
import { Field } from "../parts/field.tsx";
import { Empty, Shown } from "../parts/states.tsx";
import { Table, type Column } from "../parts/table.tsx";
import { to } from "../router/location.ts";
import { may } from "../session/session.ts";
import { at } from "../time/clock.ts";
import { Time } from "../time/time.tsx";
import { Ask } from "./ask.tsx";

type Session = Schemas["ListedSessionBody"];

export function Sessions() {
    const [actor, setActor] = useState("");
    const sessions = useResource(`sessions ${actor}`, signal => body(api.GET("/auth/sessions", { signal, params: { query: actor ? { actor } : {} } })));
    const columns: Column<Session>[] = [
        { title: "Begun", cell: row => <><Time at={row.created_at} /> {row.current && <span class="strong">(this one)</span>}</> },
        { title: "Last used", cell: row => <Time at={row.used_at} relative /> },
        { title: "Ends", cell: row => <Time at={row.expires_at} relative /> },
        { title: "Roles", cell: row => row.roles.join(", ") },
        { title: "Actions", cell: row => !row.current && <Ask action={end(row)} about={row.created_at} onDone={sessions.reload} /> },
    ];
    return (
        <div class="stack">
            {may("admin") && (
                <div class="filters">
                    <Field label="Of" type="search" value={actor} onInput={setActor} placeholder="user:ann" hint="Empty: your own." />
                </div>
            )}
            <Shown of={sessions}>
                {list => list.items.length === 0 ? <Empty title={`${list.actor} has no session`} /> : (
                    <>
                        <p class="muted">Sessions of {list.actor}.</p>
                        <Table caption="Sessions" columns={columns} rows={list.items} id={row => row.session_id} />
                        {!at.value && <div class="buttons"><Ask action={endAll(list.actor)} about={list.actor} onDone={sessions.reload} /></div>}
                    </>
                )}
            </Shown>
        </div>
    );
}

function end(session: Session) {
    return {
        command: "end", label: "End", tone: "danger" as const, reasonField: null, explains: <p>The person who uses it must sign in again.</p>,
        request: { method: "DELETE" as const, path: to`/auth/sessions/${session.session_id}` },
    };
}

function endAll(actor: string) {
    return {
        command: "end_all", label: "End all", tone: "danger" as const, reasonField: null, explains: <p>Everybody who is signed in as {actor} must sign in again, also here.</p>,
        request: { method: "DELETE" as const, path: `/auth/sessions?actor=${encodeURIComponent(actor)}` },
    };
}
