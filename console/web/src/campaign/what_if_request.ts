/** The question of the what-if. Pure. */
import type { Schemas } from "../api/types.ts";

/** The fields as they are typed; an empty one leaves a setting as it is. */
export interface Typed {
    failure: string;
    settled: string;
    success: string;
    waves: string;
    concurrency: string;
}

export function whatIfRequest(typed: Typed): Schemas["WhatIfRequest"] {
    const number = (text: string): number | undefined => (text.trim() === "" ? undefined : Number(text));
    const waves = typed.waves.split(/[\s,]+/).filter(part => part !== "").map(part => ({ percentage: Number(part) }));
    const gates = {
        failure_threshold_percent: number(typed.failure),
        gate_min_settled: number(typed.settled),
        success_threshold_percent: number(typed.success),
    };
    return { gates, waves: waves.length > 0 ? waves : undefined, concurrency: number(typed.concurrency) };
}
