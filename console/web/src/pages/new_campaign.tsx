/** A new campaign, with what it would do beside the form while it is typed. Also the change of a draft, and a copy of a campaign. */
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { api, asProblem, body } from "../api/client.ts";
import { minPosition } from "../api/position.ts";
import { Problem, sentence } from "../api/problem.ts";
import { useResource } from "../api/resource.ts";
import { newKey, send } from "../api/send.ts";
import type { Campaign, CampaignRequest } from "../api/types.ts";
import { cli, curl } from "../campaign/as_command.ts";
import { changeOf, originalOfCopy } from "../campaign/change.ts";
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
        body(api.GET("/campaigns/{campaign_id}", { signal, params: { path: { campaign_id: id ?? "" }, query: minPosition() } })));
    const title = edited ? "Change the campaign" : "New campaign";
    if (!id) {
        const firmware = query.value.get("firmware") ?? "";
        return <Page title={title}><Editor first={{ ...EMPTY, firmware_id: firmware }} /></Page>;
    }
    return (
        <Page title={title}>
            {/* What an earlier visit has read may have changed: the form begins anew with what is read now. */}
            <Shown of={original}>{campaign => <Filled key={`${title} ${campaign.campaign_id} ${campaign.version}`} campaign={campaign} isEdit={edited !== null} />}</Shown>
        </Page>
    );
}

interface Stored {
    id: string;
    version: number | undefined;
    /** The request that stored it, as text; none yet if the campaign was there before. */
    by?: string;
}

function Filled({ campaign, isEdit }: { campaign: Campaign; isEdit: boolean }) {
    const original = useMemo(() => (isEdit ? campaign : originalOfCopy(campaign)), []);
    return <Editor first={formOf(original)} original={original} edited={isEdit ? campaign : null} />;
}

function Editor({ first, original = null, edited = null }: {
    first: Form;
    /** The campaign that is changed or copied. */
    original?: Campaign | null;
    /** The campaign that is changed. */
    edited?: Campaign | null;
}) {
    const [form, setForm] = useState(first);
    const [reason, setReason] = useState("");
    const [problem, setProblem] = useState<Problem | null>(null);
    const [isBusy, setBusy] = useState(false);
    // The campaign as it was stored last: after a start was refused, the next attempt changes it and makes no second one.
    const stored = useRef<Stored | null>(edited && { id: edited.campaign_id, version: edited.version });
    const keys = useRef({ save: newKey(), start: newKey() });
    const wanted = useMemo(() => (original ? changeOf(original, form) : request(form)), [form]);
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
            const before = stored.current;
            const body = { ...wanted, reason: said };
            const by = JSON.stringify(body);
            if (!before || before.by !== by) {
                const path = before ? to`/campaigns/${before.id}` : "/campaigns";
                const saved = await send({ method: before ? "PUT" : "POST", path, body, ifVersion: before?.version }, { key: keys.current.save });
                keys.current.save = newKey();
                stored.current = { id: String(saved.campaign_id), version: typeof saved.version === "number" ? saved.version : undefined, by };
            }
            const id = stored.current?.id ?? "";
            if (isStarted) await send({ method: "POST", path: to`/campaigns/${id}/start`, body: { reason: said } }, { key: keys.current.start });
            navigate(href(to`/campaigns/${id}`));
        } catch (thrown) {
            const failed = asProblem(thrown);
            // Only a command whose outcome isn't known is the same one when it is sent again.
            if (!failed.isPassing) keys.current = { save: newKey(), start: newKey() };
            setProblem(failed);
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
