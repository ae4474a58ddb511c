/** The plan that the campaign follows, or the one that it would get now, which it can be started with. */
import { useState } from "preact/hooks";
import { tried } from "../api/send.ts";
import { Problem, sentence } from "../api/problem.ts";
import type { Campaign, Preview } from "../api/types.ts";
import { Confirm } from "../parts/action.tsx";
import { Facts } from "../parts/facts.tsx";
import { href, path, to } from "../router/location.ts";
import { count, several, words } from "../time/format.ts";
import { PreviewBody } from "./preview.tsx";

type Recorded = Record<string, unknown>;

export function Plan({ campaign }: { campaign: Campaign }) {
    const refused = campaign.refused_plan as Recorded | null | undefined;
    const plan = campaign.plan as Recorded | null | undefined;
    return (
        <div class="stack">
            {plan && <Made plan={plan} />}
            {refused && <p class="notice warn"><span><span aria-hidden="true">! </span>A start named another plan than this one, which was refused: <code>{JSON.stringify(refused)}</code></span></p>}
            {!campaign.started_at && <Now campaign={campaign} />}
        </div>
    );
}

function Made({ plan }: { plan: Recorded }) {
    const excluded = (plan.excluded ?? {}) as Record<string, number>;
    return (
        <div class="card stack">
            <h2>The plan</h2>
            <Facts facts={[
                ["Devices", count(Number(plan.devices))],
                ["Waves", ((plan.waves ?? []) as number[]).map(count).join(" · ")],
                ["Excluded", Object.keys(excluded).length === 0 ? "none" : (
                    <span class="tags">
                        {Object.entries(excluded).map(([reason, devices]) => (
                            <a key={reason} class="tag" href={href(path.value, { tab: "Devices", excluded: reason })}>{words(reason)}: {count(devices)}</a>
                        ))}
                    </span>
                )],
                ["Hash", <code>{String(plan.plan_hash)}</code>],
                ["Seed", <code>{String(plan.seed)}</code>],
                ["Differs from the one that was asked for", plan.drift ? <code>{JSON.stringify(plan.drift)}</code> : "no"],
            ]} />
        </div>
    );
}

/** What a start would do now; the start can insist on exactly that. */
function Now({ campaign }: { campaign: Campaign }) {
    const [preview, setPreview] = useState<Preview | Problem | null>(null);
    const [isBusy, setBusy] = useState(false);
    const [isAsking, setAsking] = useState(false);
    const id = campaign.campaign_id;
    const read = async (): Promise<void> => {
        setBusy(true);
        const answer = await tried({ method: "POST", path: to`/campaigns/${id}/preview` });
        setPreview(answer instanceof Problem ? answer : (answer as unknown as Preview));
        setBusy(false);
    };
    return (
        <>
            <div class="buttons"><button onClick={() => void read()} disabled={isBusy}>Preview</button></div>
            {preview instanceof Problem && <p class="error" role="alert">{sentence(preview)}</p>}
            {preview && !(preview instanceof Problem) && (
                <div class="card stack">
                    <h2>A plan of now</h2>
                    <PreviewBody preview={preview} />
                    {campaign.allowed_commands?.includes("start") && (
                        <div class="buttons"><button class="primary" onClick={() => setAsking(true)}>Start with exactly this plan</button></div>
                    )}
                    {isAsking && (
                        <Confirm onClose={() => setAsking(false)} onTaken={() => setAsking(false)} action={{
                            command: "start", label: "Start with exactly this plan", tone: "primary",
                            request: { method: "POST", path: to`/campaigns/${id}/start`, body: { plan_hash: preview.plan_hash, on_drift: "refuse" } },
                            explains: <p>{several(preview.devices, "device")}. If the plan has changed by then, nothing begins, and the campaign waits for a person.</p>,
                        }} />
                    )}
                </div>
            )}
        </>
    );
}
