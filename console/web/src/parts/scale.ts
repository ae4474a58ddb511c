/** Ticks of axes: round numbers and round times. Pure. */

/** Steps of time axes, in seconds. */
const TIME_STEPS = [1, 5, 15, 30, 60, 300, 900, 1_800, 3_600, 10_800, 21_600, 43_200, 86_400, 172_800, 604_800, 1_209_600, 2_592_000];

/** Round numbers between two, about as many as wanted. */
export function ticks(low: number, high: number, wanted: number): number[] {
    const span = high - low;
    if (!(span > 0) || wanted < 1) return [low];
    const rough = span / wanted;
    const power = 10 ** Math.floor(Math.log10(rough));
    const step = ([1, 2, 5, 10].find(factor => factor * power >= rough) ?? 10) * power;
    const first = Math.ceil(low / step - 1e-9);
    const found: number[] = [];
    for (let n = first; n * step <= high + step * 1e-9; n += 1) found.push(Number((n * step).toPrecision(12)));
    return found;
}

/** Round times between two, in milliseconds. `offset` is how far the zone is behind UTC, in minutes, so that days begin at midnight. */
export function timeTicks(low: number, high: number, wanted: number, offset: number): number[] {
    const rough = (high - low) / 1_000 / Math.max(1, wanted);
    const step = (TIME_STEPS.find(one => one >= rough) ?? TIME_STEPS.at(-1) ?? 1) * 1_000;
    const shift = offset * 60_000;
    const found: number[] = [];
    for (let at = Math.ceil((low - shift) / step) * step + shift; at <= high; at += step) found.push(at);
    return found;
}

/** The path of a line; it begins again after a gap. */
export function path(points: readonly (readonly [x: number, y: number | null])[]): string {
    let isDrawn = false;
    return points.map(([x, y]) => {
        const command = y === null ? "" : `${isDrawn ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`;
        isDrawn = y !== null;
        return command;
    }).join("");
}
