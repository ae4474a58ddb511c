/** How many devices ran which version, over time: lines, and the same numbers as a table. */
import { useEffect, useRef } from "preact/hooks";
import uPlot from "uplot";
import { theme } from "../layout/theme.ts";
import { zone } from "../time/clock.ts";
import { clock, count } from "../time/format.ts";
import { Time } from "../time/time.tsx";
import type { Series } from "./versions.ts";

const HEIGHT = 240;
/** Colours of the lines, and how they are dashed: never colour alone. */
const COLOURS = ["--ok", "--accent", "--warn", "--past", "--bad"];
const DASHES = [[], [8, 4], [2, 3], [12, 4, 2, 4], [4, 4]];
const DASH_NAMES = ["solid", "dashed", "dotted", "dash and dot", "short dashes"];

export function VersionChart({ times, lines, own }: { times: readonly number[]; lines: readonly Series[]; own: string }) {
    const frame = useRef<HTMLDivElement>(null);
    const key = JSON.stringify([times, lines]);
    const [shownTheme, shownZone] = [theme.value, zone.value];
    useEffect(() => {
        const element = frame.current;
        if (!element) return;
        const plot = new uPlot(options(element.clientWidth, lines), [times.map(time => time / 1_000), ...lines.map(line => line.values)], element);
        const resized = new ResizeObserver(() => plot.setSize({ width: element.clientWidth, height: HEIGHT }));
        resized.observe(element);
        const system = window.matchMedia("(prefers-color-scheme: dark)");
        const recolour = (): void => plot.redraw();
        system.addEventListener("change", recolour);
        return () => {
            system.removeEventListener("change", recolour);
            resized.disconnect();
            plot.destroy();
        };
    }, [key, shownTheme, shownZone]);
    return (
        <>
            <div class="plot" ref={frame} aria-hidden="true" />
            <ul class="legend" aria-label="Lines">
                {lines.map((line, n) => (
                    <li key={line.version}>
                        <svg class={`legend-line line-${n}`} viewBox="0 0 32 4" aria-hidden="true"><line x1="0" y1="2" x2="32" y2="2" /></svg>
                        {line.version} <span class="muted small">{line.version === own ? "this firmware, " : ""}{DASH_NAMES[n]}, now {count(line.values.at(-1) ?? 0)}</span>
                    </li>
                ))}
            </ul>
            <details>
                <summary>The numbers</summary>
                <div class="table-frame" tabIndex={0} role="region" aria-label="Devices by version over time">
                    <table class="numbers-table">
                        <thead><tr><th scope="col">Time</th>{lines.map(line => <th key={line.version} scope="col">{line.version}</th>)}</tr></thead>
                        <tbody>
                            {times.map((time, n) => (
                                <tr key={time}>
                                    <th scope="row"><Time at={new Date(time).toISOString()} /></th>
                                    {lines.map(line => <td key={line.version}>{count(line.values[n] ?? 0)}</td>)}
                                </tr>
                            ))}
                        </tbody>
                    </table>
                </div>
            </details>
        </>
    );
}

function colour(name: string): string {
    return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

function options(width: number, lines: readonly Series[]): uPlot.Options {
    const axis = { stroke: () => colour("--muted"), grid: { stroke: () => colour("--line"), width: 1 }, ticks: { stroke: () => colour("--line"), width: 1 } };
    const span = (times: readonly number[]): number => (times.at(-1) ?? 0) - (times[0] ?? 0);
    /** Ticks as times of day, or as days if the chart is longer than two of them. */
    const tick = (_: uPlot, times: number[]): string[] => times.map(time => {
        const [day = "", hour = ""] = clock(time * 1_000, zone.value, 0).split(" ");
        return span(times) > 2 * 86_400 ? day.slice(5) : hour.slice(0, 5);
    });
    const zoned = zone.value === "utc" ? { tzDate: (time: number) => uPlot.tzDate(new Date(time * 1_000), "UTC") } : {};
    return {
        width, height: HEIGHT, ...zoned, legend: { show: false }, cursor: { drag: { x: false, y: false } },
        scales: { y: { range: (_, __, most) => [0, Math.max(1, most * 1.05)] } },
        axes: [{ ...axis, values: tick }, { ...axis, size: 48, incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 200_000, 500_000] }],
        series: [{}, ...lines.map((line, n) => ({
            label: line.version, width: n === 0 ? 2.5 : 2, dash: DASHES[n] ?? [], stroke: () => colour(COLOURS[n] ?? "--muted"), points: { show: true, size: 5 },
        }))],
    };
}
