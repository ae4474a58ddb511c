/** Which results of gates a page shows. Pure. */
import type { Gate } from "../api/types.ts";

/**
 * Of each gate and wave the last recorded result, or the current one if none was recorded. A gate that closed stays, because its evidence explains
 * why the campaign stopped; what is measured now is beside it.
 */
export function latestGates(recorded: readonly Gate[], now: readonly Gate[]): Gate[] {
    const key = (gate: Gate): string => `${gate.wave ?? ""} ${gate.gate}`;
    const last = new Map<string, Gate>();
    for (const gate of recorded) last.set(key(gate), gate);
    const current = now.filter(gate => {
        const before = last.get(key(gate));
        return !before || before.verdict === "closed";
    });
    return [...last.values(), ...current].sort((one, other) => (one.wave ?? Infinity) - (other.wave ?? Infinity));
}
