/** The plan that the campaign follows, and the one that it would get now. */
import { asProblem } from "../api/client.ts";
import { tried } from "../api/send.ts";
import { Problem, sentence } from "../api/problem.ts";
import { useState } from "preact/hooks";
import type { Campaign, Preview } from "../api/types.ts";
import { Facts } from "../parts/facts.tsx";
import { to } from "../router/location.ts";
import { count, words } from "../time/format.ts";
import { PreviewBody } from "./preview.tsx";

export function Plan({ campaign }: { campaign: Campaign }) {
    const plan = campaign.plan as Record<string, unknown> | null | undefined;
    const [now, setNow] = useState<Preview | Problem | null>(null);
    const [isBusy, setBusy] = useState(false);
    const compare = (): void => {
        setBusy(true);
        tried({ method: "POST", path: to`/campaigns/${campaign.campaign_id}/preview` })
            .then(answer => setNow(answer instanceof Problem ? answer : (answer as unknown as Preview)), thrown => setNow(asProblem(thrown)))
            .finally(() => setBusy(false));
    };
    const excluded = (plan?.excluded ?? {}) as Record<string, number>;
    return (
        <div class="stack">
            {plan ? (
                <div class="card stack">
                    <h2>The plan</h2>
                    <Facts facts={[
                        ["Devices", count(Number(plan.devices))],
                        ["Waves", ((plan.waves ?? []) as number[]).map(count).join(" · ")],
                        ["Excluded", Object.entries(excluded).map(([reason, devices]) => `${words(reason)}: ${count(devices)}`).join(", ") || "none"],
                        ["Hash", <code>{String(plan.plan_hash)}</code>],
                        ["Drift", plan.drift ? <pre>{JSON.stringify(plan.drift, null, 2)}</pre> : null],
                    ]} />
                </div>
            ) : <p class="muted">Nothing is planned yet.</p>}
            <div class="buttons"><button onClick={compare} disabled={isBusy}>{plan ? "Compare with a plan of now" : "Preview"}</button></div>
            {now instanceof Problem && <p class="error" role="alert">{sentence(now)}</p>}
            {now && !(now instanceof Problem) && (
                <div class="card stack">
                    <h2>A plan of now</h2>
                    {plan && <p>{now.plan_hash === plan.plan_hash ? "It is the same plan." : "It is another plan: the fleet or the settings have changed."}</p>}
                    <PreviewBody preview={now} />
                </div>
            )}
        </div>
    );
}
