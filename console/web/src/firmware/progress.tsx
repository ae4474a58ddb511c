/** How far an upload is. */
import { Announce } from "../parts/announce.tsx";
import { bytes, duration, percent } from "../time/format.ts";
import { pace } from "./upload_form.ts";

export interface Sending {
    sent: number;
    whole: number;
    startedAt: number;
}

export function Progress({ sending, onCancel }: { sending: Sending; onCancel: () => void }) {
    const { sent, whole, startedAt } = sending;
    const known = pace(sent, whole, Date.now() - startedAt);
    const isSent = whole > 0 && sent >= whole;
    return (
        <div class="stack">
            <label class="strong" for="upload-progress">{isSent ? "The service checks and keeps the file" : `Sending: ${percent(sent, whole)}`}</label>
            {isSent ? <progress id="upload-progress" /> : <progress id="upload-progress" max={whole} value={sent} />}
            <p class="muted">
                {bytes(sent)} of {bytes(whole)}{known && !isSent && <> · {bytes(known.rate)}/s · {duration(known.left)} left</>}
            </p>
            <Announce text={isSent ? "The service checks the file." : `${percent(sent, whole)} sent.`} />
            <div class="buttons"><button type="button" onClick={onCancel}>Cancel</button></div>
        </div>
    );
}
