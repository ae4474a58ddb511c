/** A new campaign, with what it would do beside the form while it is typed. Also the change of a draft, and a copy of a campaign. */
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { api, asProblem, body } from "../api/client.ts";
import { Problem, sentence } from "../api/problem.ts";
import { useResource } from "../api/resource.ts";
import { send } from "../api/send.ts";
import type { CampaignRequest } from "../api/types.ts";
import { cli, curl } from "../campaign/as_command.ts";
import { EMPTY, type Form, formOf, missing, request } from "../campaign/form.ts";
import { FormFields } from "../campaign/form_fields.tsx";
import { PreviewBody } from "../campaign/preview.tsx";
import { Page } from "../layout/page.tsx";
import { Copy } from "../parts/copy.tsx";
import { Field } from "../parts/field.tsx";
import { Failed, Loading, Shown } from "../parts/states.tsx";
import { href, navigate, query, to } from "../router/location.ts";

/** Wait after the last key before a preview is asked for, in milliseconds. */
const TYPING_MS = 400;

export function NewCampaign() {
    const edited = query.value.get("edit");
    const id = edited ?? query.value.get("clone");
    const original = useResource(id && `campaign ${id} form`, signal =>
        body(api.GET("/campaigns/{campaign_id}", { signal, params: { path: { campaign_id: id ?? "" } } })));
    const title = edited ? "Change the campaign" : "New campaign";
    if (!id) {
        const firmware = query.value.get("firmware") ?? "";
        return <Page title={title}><Editor first={{ ...EMPTY, firmware_id: firmware }} edited={null} /></Page>;
    }
    return (
        <Page title={title}>
            <Shown of={original}>{campaign => <Editor first={formOf(campaign)} edited={edited} />}</Shown>
        </Page>
    );
}

function Editor({ first, edited }: { first: Form; edited: string | null }) {
    const [form, setForm] = useState(first);
    const [reason, setReason] = useState("");
    const [problem, setProblem] = useState<Problem | null>(null);
    const [isBusy, setBusy] = useState(false);
    const wanted = useMemo(() => request(form), [form]);
    const settled = useSettled(JSON.stringify(wanted));
    const lacks = missing(form);
    const isReady = lacks === null;
    const preview = useResource(isReady && settled === JSON.stringify(wanted) ? `preview ${settled}` : null, signal =>
        body(api.POST("/campaigns/preview", { signal, body: previewed(settled), params: { query: { limit: 1 } } })));
    // What was shown stays while the next one is computed.
    const last = useRef(preview.data);
    last.current = preview.data ?? last.current;
    const save = async (isStarted: boolean): Promise<void> => {
        setBusy(true);
        setProblem(null);
        try {
            const said = reason === "" ? undefined : reason;
            const path = edited ? to`/campaigns/${edited}` : "/campaigns";
            const saved = await send({ method: edited ? "PUT" : "POST", path, body: { ...wanted, reason: said } });
            const id = String(saved.campaign_id);
            if (isStarted) await send({ method: "POST", path: to`/campaigns/${id}/start`, body: { reason: said } });
            navigate(href(to`/campaigns/${id}`));
        } catch (thrown) {
            setProblem(asProblem(thrown));
            setBusy(false);
        }
    };
    const errors = (problem ?? (preview.problem?.status === 422 ? preview.problem : null))?.errors ?? [];
    return (
        <div class="columns editor">
            <form class="stack" onSubmit={event => { event.preventDefault(); void save(false); }}>
                <FormFields form={form} change={part => setForm({ ...form, ...part })} error={name => errors.find(one => one.field === name)?.reason} />
                <div class="card stack">
                    <Field label="Reason" value={reason} onInput={setReason} hint="It is kept in the log." />
                    {problem && <p class="error" role="alert">{sentence(problem)}</p>}
                    <div class="buttons">
                        <button disabled={isBusy || !isReady || form.name === ""}>{edited ? "Save" : "Save as draft"}</button>
                        <button type="button" class="primary" disabled={isBusy || !isReady || form.name === ""} onClick={() => void save(true)}>
                            {edited ? "Save and start" : "Create and start"}
                        </button>
                    </div>
                </div>
            </form>
            <div class="stack beside">
                <section class="card stack" aria-labelledby="preview" aria-live="polite">
                    <h2 id="preview">What it would do</h2>
                    {lacks && <p class="muted">{lacks}</p>}
                    {isReady && !preview.problem && last.current && <PreviewBody preview={last.current} />}
                    {isReady && preview.problem && <Failed problem={preview.problem} />}
                    {isReady && !last.current && !preview.problem && <Loading />}
                </section>
                <section class="card stack" aria-labelledby="same">
                    <h2 id="same">The same request</h2>
                    <pre class="cli">{cli(wanted)}</pre>
                    <div class="buttons">
                        <Copy text={cli(wanted)} label="Copy as CLI" />
                        <Copy text={curl(wanted, window.location.origin)} label="Copy as curl" />
                        <Copy text={JSON.stringify(wanted, null, 2)} label="Copy as JSON" />
                    </div>
                </section>
            </div>
        </div>
    );
}

/** The request that a preview is asked for. A preview needs no name yet. */
function previewed(text: string): CampaignRequest {
    const wanted = JSON.parse(text) as CampaignRequest;
    return { ...wanted, name: wanted.name || "preview" };
}

/** A text that follows another one when that has been the same for a while. */
function useSettled(text: string): string {
    const [settled, setSettled] = useState(text);
    useEffect(() => {
        const timer = window.setTimeout(() => setSettled(text), TYPING_MS);
        return () => window.clearTimeout(timer);
    }, [text]);
    return settled;
}
