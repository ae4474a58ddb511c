/** What a device is and does now, in a sentence. */
import type { Device, HistoryItem, Update } from "../api/types.ts";
import { Announce } from "../parts/announce.tsx";
import { Badge } from "../parts/badge.tsx";
import { may } from "../session/session.ts";
import { at } from "../time/clock.ts";
import { Time } from "../time/time.tsx";
import { DeviceActions } from "./actions.tsx";
import { hasEnded, hasEndedBadly } from "./phases.ts";
import { deviceSentence } from "./sentence.ts";
import { UpdateCard } from "./update_card.tsx";

export function Badges({ device }: { device: Device }) {
    return (
        <span class="tags">
            {device.lifecycle === "active" ? <Badge state={device.status} /> : <Badge state={device.lifecycle} tone="bad" />}
            {device.held && <Badge state="held" />}
        </span>
    );
}

export function Head({ device, update, latest, events, reload }: {
    device: Device;
    /** The live one. */
    update: Update | undefined;
    /** The one that was ordered last. */
    latest: Update | undefined;
    events: readonly HistoryItem[];
    reload: () => void;
}) {
    const live = !at.value && update && (update.ordinal === device.current_update?.ordinal || !hasEnded(update.phase)) ? update : undefined;
    const said = deviceSentence(device, live, latest && hasEndedBadly(latest.phase) ? latest : undefined);
    return (
        <section class="stack" aria-label="State">
            <p class="sentence">{said}</p>
            <Announce text={said} />
            <p class="muted">
                {device.name && device.name !== device.device_id && <>{device.name} · </>}
                {device.device_model ?? "model not known"} · over {device.transport}
                {device.last_seen && <> · last seen <Time at={device.last_seen} relative /></>}
                {device.held && device.hold_until && <> · held until <Time at={device.hold_until} /></>}
            </p>
            {may("operator") && <DeviceActions device={device} reload={reload} />}
            {live && <UpdateCard update={live} events={events} reload={reload} isLive />}
        </section>
    );
}
