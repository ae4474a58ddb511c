/** Why a device runs its version, and why it doesn't run another one: sentences with the events that led there. */
import { useState } from "preact/hooks";
import { api, body } from "../api/client.ts";
import { minPosition, shortPosition } from "../api/position.ts";
import { of, ofKind, useResource } from "../api/resource.ts";
import type { Device, Schemas } from "../api/types.ts";
import { Chain } from "../parts/chain.tsx";
import { Select } from "../parts/field.tsx";
import { Shown } from "../parts/states.tsx";
import { href, query, setQuery, to } from "../router/location.ts";
import { at } from "../time/clock.ts";
import { several } from "../time/format.ts";
import { Time } from "../time/time.tsx";
import { FirmwareSelect } from "./firmware_select.tsx";
import { fullSentence } from "./sentence.ts";

/** Links of a chain that are shown at first, from the newest. */
const FIRST_LINKS = 6;

type Cause = Schemas["LinkBody"];

export function Why({ device }: { device: Device }) {
    const components = Object.keys(device.versions);
    const [component, setComponent] = useState(components.includes("firmware") ? "firmware" : (components[0] ?? "firmware"));
    const moment = at.value;
    const id = device.device_id;
    const why = useResource(`why ${id} ${component} ${moment}`, signal =>
        body(api.GET("/devices/{device_id}/why", {
            signal,
            params: { path: { device_id: id }, query: { component, ...(moment ? { at_time: moment } : minPosition()) } },
        })), moment ? null : of("device", id));
    return (
        <section class="stack" aria-labelledby="why">
            <h2 id="why">Why this version?</h2>
            {components.length > 1 && <div class="filters"><Select label="Component" value={component} options={components} onChange={setComponent} /></div>}
            <Shown of={why}>
                {answer => (
                    <>
                        <p>
                            {fullSentence(answer.answer)}
                            {answer.campaign_id && <> <a href={href(to`/campaigns/${answer.campaign_id}`)}>Its campaign</a></>}
                        </p>
                        <Causes links={answer.links} isCut={answer.is_cut} label="Why this version" />
                        {answer.latest_update && (
                            <details>
                                <summary>The latest update: {answer.latest_update.answer}</summary>
                                <Causes links={answer.latest_update.links} isCut={answer.latest_update.is_cut} label="The latest update" />
                            </details>
                        )}
                    </>
                )}
            </Shown>
        </section>
    );
}

/** Causes, the newest first; it ends at who or what began it. */
function Causes({ links, isCut, label }: { links: readonly Cause[]; isCut: boolean; label: string }) {
    const [isWhole, setWhole] = useState(false);
    const newest = [...links].reverse();
    const first = newest.at(-1);
    const hides = !isWhole && newest.length > FIRST_LINKS + 1;
    const shown = hides ? [...newest.slice(0, FIRST_LINKS - 1), ...(first ? [first] : [])] : newest;
    if (links.length === 0) return <p class="muted">No event is known that led to it.</p>;
    return (
        <>
            <Chain label={label} links={shown.map(link => ({
                position: link.position, type: link.type, detail: fullSentence(link.detail), actor: link.actor, reason: link.reason ?? null, at: link.recorded_at,
            }))} />
            {hides && <div class="buttons"><button onClick={() => setWhole(true)}>Show {several(newest.length - shown.length, "event")} between</button></div>}
            {isCut && <p class="muted">There were causes before, which are not known any more.</p>}
        </>
    );
}

export function WhyNot({ device }: { device: Device }) {
    const firmware = query.value.get("firmware") ?? "";
    const id = device.device_id;
    const answer = useResource(firmware ? `why-not ${id} ${firmware}` : null, signal =>
        body(api.GET("/devices/{device_id}/why-not", {
            signal,
            params: { path: { device_id: id }, query: { firmware_id: firmware, ...minPosition() } },
        })), change => of("device", id)(change) || ofKind("campaign", "firmware", "tenant")(change));
    return (
        <section class="stack" aria-labelledby="why-not">
            <h2 id="why-not">Why not another one?</h2>
            <div class="filters">
                <FirmwareSelect label="Another firmware" value={firmware} model={device.device_model} onChange={value => setQuery({ firmware: value }, { replace: true })} />
            </div>
            {firmware && (
                <Shown of={answer}>
                    {({ answer: said, change, until, campaign_id, update_id, at_position, rule, version }) => (
                        <div class="stack">
                            <p><span class="strong">{version ? `${version}: ` : ""}</span>{fullSentence(said)}</p>
                            <p>What would change it: {change}{until && <>, by itself at <Time at={until} /></>}.</p>
                            <p class="muted small">
                                <code>{rule}</code> · as of #{shortPosition(at_position)}
                                {campaign_id && <> · <a href={href(to`/campaigns/${campaign_id}`)}>the campaign</a></>}
                                {update_id && <> · <a href={href(to`/devices/${id}`, { tab: "Updates", update: update_id.split("~")[1] })}>the update</a></>}
                            </p>
                        </div>
                    )}
                </Shown>
            )}
        </section>
    );
}
