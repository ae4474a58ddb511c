/** The clock of the page: live, or at a moment of the past. */
import { useState } from "preact/hooks";
import { lastMessageAt, streamState } from "../live/messages.ts";
import { at, lookAt, nextTimes, now, times, zone } from "../time/clock.ts";
import { Select } from "../parts/field.tsx";
import { clock, duration, localText, zoneName } from "../time/format.ts";

/** How far back the slider reaches: a choice, in seconds. */
const SPANS = [["3600", "1 hour"], ["86400", "1 day"], ["604800", "1 week"], ["2592000", "30 days"], ["31536000", "1 year"]] as const;
/** Steps of the slider. */
const STEPS = 720;

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
    const shownAs = times.value === "ago" ? "ago" : zoneName(zone.value, new Date(now.value));
    const since = lastMessageAt.value === null ? "" : `last message ${duration((now.value - lastMessageAt.value) / 1_000)} ago`;
    return (
        <div class="clock">
            <button class={at.value ? "past" : `stream-${streamState.value}`} aria-expanded={isOpen} aria-controls="moment" title={since}
                onClick={() => setOpen(!isOpen)}>
                <span aria-hidden="true">{at.value ? "◷" : icon}</span> {at.value ? "at" : word} <span class="time">{shown}</span>
            </button>
            <button class="quiet zone" title="Change how times are shown (t)" aria-label={`Times: ${shownAs}. Change`} onClick={nextTimes}>{shownAs}</button>
            {isOpen && <Moments close={() => setOpen(false)} />}
        </div>
    );
}

/** Chooses the moment: by dragging back from now, or by date and time. */
function Moments({ close }: { close: () => void }) {
    const chosen = at.value ? Date.parse(at.value) : now.value;
    const [ago, setAgo] = useState(Math.max(0, (now.value - chosen) / 1_000));
    const [span, setSpan] = useState<string>(SPANS.find(([reach]) => ago <= Number(reach))?.[0] ?? SPANS[4][0]);
    const step = Number(span) / STEPS;
    const back = (slider: HTMLInputElement): number => (STEPS - slider.valueAsNumber) * step;
    const go = (seconds: number): void => lookAt(seconds === 0 ? null : new Date(now.value - seconds * 1_000).toISOString());
    return (
        <div class="moments card" id="moment" onKeyDown={event => event.key === "Escape" && close()}>
            <label>
                {ago < 1 ? "Now" : `${duration(ago)} ago`}
                <input type="range" min={0} max={STEPS} value={STEPS - Math.round(ago / step)}
                    onInput={event => setAgo(back(event.currentTarget))} onChange={event => go(back(event.currentTarget))} />
            </label>
            <Select label="The slider reaches back" value={span} options={SPANS.map(([value, label]) => ({ value, label }))} onChange={setSpan} />
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
