/** What can be done with a firmware, and what that would hit. */
import { useState } from "preact/hooks";
import { api, asProblem, body } from "../api/client.ts";
import { sentence } from "../api/problem.ts";
import { useResource } from "../api/resource.ts";
import { tried } from "../api/send.ts";
import { Problem } from "../api/problem.ts";
import type { Firmware } from "../api/types.ts";
import { Actions, type Action } from "../parts/action.tsx";
import { Shown } from "../parts/states.tsx";
import { href, to } from "../router/location.ts";
import { may } from "../session/session.ts";
import { at } from "../time/clock.ts";
import { count, several, words } from "../time/format.ts";
import { allowedFor, BEFORE_INSTALLING, FROM_INSTALLING, hit, type Hit } from "./hit.ts";

export function FirmwareActions({ firmware, reload }: { firmware: Firmware; reload: () => void }) {
    const [problem, setProblem] = useState<string | null>(null);
    const id = firmware.firmware_id;
    const download = async (): Promise<void> => {
        try {
            const link = await body(api.GET("/firmware/{firmware_id}/download", { params: { path: { firmware_id: id } } }));
            setProblem(null);
            window.location.assign(link.download_url);
        } catch (thrown) {
            setProblem(sentence(asProblem(thrown)));
        }
    };
    const isThere = firmware.status !== "deleted" && !at.value;
    const isUsable = firmware.status === "active" || firmware.status === "deprecated";
    return (
        <div class="stack">
            <div class="buttons">
                {may("operator") && isUsable && !at.value && <a class="button primary" href={href("/campaigns/new", { firmware: id })}>New campaign</a>}
                {isThere && <button onClick={() => void download()}>Download</button>}
                {may("operator") && <Actions actions={actions(firmware)} allowed={allowedFor(firmware, may("admin"))} onDone={reload} />}
            </div>
            {problem && <p class="error" role="alert">{problem}</p>}
        </div>
    );
}

function actions(firmware: Firmware): Action[] {
    const id = firmware.firmware_id;
    const devices = firmware.needed_for_rollback?.devices ?? 0;
    const name = `${firmware.name} ${firmware.version}`;
    return [
        {
            command: "deprecate", label: "Deprecate", request: { method: "POST", path: to`/firmware/${id}/deprecate` }, cli: `waybill firmware deprecate ${id}`,
            explains: <p>{name} stays usable. Those who use it see a warning.</p>,
        },
        {
            command: "withdraw", label: "Withdraw", tone: "danger", needsReason: true, request: { method: "POST", path: to`/firmware/${id}/withdraw` },
            cli: `waybill firmware withdraw ${id}`,
            explains: <><p>No device gets {name} from now on. This can't be undone.</p><WouldHit firmware={firmware} command="withdraw" /></>,
        },
        {
            command: "delete", label: "Delete", tone: "danger", needsReason: true, request: { method: "DELETE", path: to`/firmware/${id}` },
            typed: firmware.version, cli: `waybill firmware delete ${id}`,
            explains: <><p>The bytes of {name} are removed. The history stays.</p><WouldHit firmware={firmware} command="delete" /></>,
        },
        {
            command: "force_delete", label: "Delete although devices need it", tone: "danger", needsReason: true,
            request: { method: "DELETE", path: to`/firmware/${id}`, body: { force: true } }, typed: firmware.version,
            explains: (
                <>
                    <p>The bytes of {name} are removed, and {several(devices, "device")} can't go back to it any more.</p>
                    <WouldHit firmware={firmware} command="delete" />
                </>
            ),
        },
    ];
}

/** What a command would hit now: asked before the person decides. */
function WouldHit({ firmware, command }: { firmware: Firmware; command: "withdraw" | "delete" }) {
    const id = firmware.firmware_id;
    const counted = useResource(`hit ${id}`, signal => countUpdates(id, signal));
    const check = useResource(`check ${command} ${id}`, async () => {
        const request = command === "withdraw"
            ? { method: "POST" as const, path: to`/firmware/${id}/withdraw`, body: { reason: "check" } }
            : { method: "DELETE" as const, path: to`/firmware/${id}`, body: { reason: "check" } };
        const answer = await tried(request, { dryRun: true });
        return answer instanceof Problem ? answer : null;
    });
    const needed = firmware.needed_for_rollback;
    return (
        <>
            {check.data && <p class="notice warn"><span><span aria-hidden="true">! </span>The service would refuse it now: {sentence(check.data)}</span></p>}
            {firmware.pinned_by.length > 0 && (
                <p>
                    {several(firmware.pinned_by.length, "live campaign")} {command === "withdraw" ? "with it pause" : "use it"}:{" "}
                    {firmware.pinned_by.map((campaign, n) => (
                        <span key={campaign}>{n > 0 && ", "}<a href={href(to`/campaigns/${campaign}`)}>{campaign.slice(0, 8)}</a></span>
                    ))}.
                </p>
            )}
            {firmware.pinned_by.length === 0 && <p>No live campaign uses it.</p>}
            {needed && needed.devices > 0 && <p>{count(needed.devices)}{needed.more ? " or more" : ""} devices could go back to it.</p>}
            <Shown of={counted}>{found => <Updates found={found} />}</Shown>
        </>
    );
}

function Updates({ found }: { found: Hit }) {
    return (
        <ul class="stack">
            <li>{several(found.cancelled, "update")} that wait or haven't begun to install end.</li>
            <li>{several(found.running, "update")} that install already run to their end.</li>
            {found.phases.length > 0 && (
                <li class="muted small">{found.phases.map(([phase, number]) => `${words(phase)} ${count(number)}`).join(", ")}</li>
            )}
        </ul>
    );
}

async function countUpdates(id: string, signal: AbortSignal): Promise<Hit> {
    const phases = [...BEFORE_INSTALLING, ...FROM_INSTALLING];
    const counted = await Promise.all(phases.map(async phase => {
        const list = await body(api.GET("/updates", { signal, params: { query: { firmware_id: id, phase, count: true, limit: 1 } } }));
        return [phase, list.total ?? 0] as const;
    }));
    return hit(counted);
}
