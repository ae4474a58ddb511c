/** The clock of the page: live, or at a moment of the past. */
import { useState } from "preact/hooks";
import { lastMessageAt, streamState } from "../live/messages.ts";
import { at, lookAt, now, toggleZone, zone } from "../time/clock.ts";
import { clock, duration, localText, zoneName } from "../time/format.ts";

/** How far back the slider reaches, in minutes. */
const BACK_MINUTES = 24 * 60;

const STATES = {
    connecting: ["›", "connecting"],
    live: ["●", "live"],
    reconnecting: ["!", "reconnecting"],
    polling: ["◔", "every 5 s"],
} as const;

export function HeaderClock() {
    const [isOpen, setOpen] = useState(false);
    const [icon, word] = STATES[streamState.value];
    const shown = clock(at.value ?? now.value, zone.value, now.value);
    const since = lastMessageAt.value === null ? "" : `last message ${duration((now.value - lastMessageAt.value) / 1_000)} ago`;
    return (
        <div class="clock">
            <button class={at.value ? "past" : `stream-${streamState.value}`} aria-expanded={isOpen} aria-controls="moment" title={since}
                onClick={() => setOpen(!isOpen)}>
                <span aria-hidden="true">{at.value ? "◷" : icon}</span> {at.value ? "at" : word} <span class="time">{shown}</span>
            </button>
            <button class="quiet zone" title="Change the zone (t)" aria-label={`Times are in ${zoneName(zone.value, new Date(now.value))}. Change the zone`} onClick={toggleZone}>
                {zoneName(zone.value, new Date(now.value))}
            </button>
            {isOpen && <Moments close={() => setOpen(false)} />}
        </div>
    );
}

/** Chooses the moment: by dragging through the last day, or by date and time. */
function Moments({ close }: { close: () => void }) {
    const chosen = at.value ? Date.parse(at.value) : now.value;
    const minutesAgo = Math.min(BACK_MINUTES, Math.max(0, Math.round((now.value - chosen) / 60_000)));
    const [ago, setAgo] = useState(minutesAgo);
    const go = (minutes: number): void => lookAt(minutes === 0 ? null : new Date(now.value - minutes * 60_000).toISOString());
    return (
        <div class="moments card" id="moment" onKeyDown={event => event.key === "Escape" && close()}>
            <label>
                {ago === 0 ? "Now" : `${duration(ago * 60)} ago`}
                <input type="range" min={0} max={BACK_MINUTES} value={BACK_MINUTES - ago}
                    onInput={event => setAgo(BACK_MINUTES - event.currentTarget.valueAsNumber)}
                    onChange={event => go(BACK_MINUTES - event.currentTarget.valueAsNumber)} />
            </label>
            <label>
                At
                <input type="datetime-local" step="1" value={localText(chosen)}
                    onChange={event => event.currentTarget.value && lookAt(new Date(event.currentTarget.value).toISOString())} />
            </label>
            <div class="buttons">
                <button onClick={close}>Close</button>
                <button class="primary" disabled={at.value === null} onClick={() => lookAt(null)}>Back to live</button>
            </div>
        </div>
    );
}
