/** A state as icon, word and colour; never as colour alone. */
import { words } from "../time/format.ts";

export type Tone = "ok" | "warn" | "bad" | "work" | "plain";

const ICONS: Record<Tone, string> = { ok: "✓", warn: "!", bad: "✕", work: "›", plain: "·" };

/** Tones of the states of campaigns, updates, devices, firmware and gates. */
const TONES: Record<string, Tone> = {
    active: "ok", approved: "ok", completed: "ok", confirmed: "ok", done: "ok", online: "ok", passed: "ok", up: "ok", held_open: "ok",
    awaiting_approval: "warn", completed_with_failures: "warn", cancelling: "warn", deferred: "warn", degraded: "warn", expired: "warn",
    held: "warn", offline: "warn", paused: "warn", regressed: "warn", deprecated: "warn", suspended: "warn", frozen: "warn",
    closed: "bad", down: "bad", failed: "bad", rejected: "bad", rollback_failed: "bad", timed_out: "bad", withdrawn: "bad",
    accepted: "work", activating: "work", dispatched: "work", downloading: "work", installing: "work", planning: "work", rebooting: "work",
    rolling_back: "work", running: "work", staged: "work", verifying: "work",
};

export function Badge({ state, tone }: { state: string; tone?: Tone }) {
    const shown = tone ?? TONES[state] ?? "plain";
    return (
        <span class={`badge ${shown}`}>
            <span aria-hidden="true">{ICONS[shown]}</span> {words(state)}
        </span>
    );
}
