/** Lines over time, as SVG: its colours are those of the theme, and each line has its own dashes. The same numbers stand beside it as text. */
import { useEffect, useRef, useState } from "preact/hooks";
import { zone } from "../time/clock.ts";
import { clock } from "../time/format.ts";
import { path, ticks, timeTicks } from "./scale.ts";

export interface Line {
    name: string;
    /** One for each time; null where there is none. */
    values: readonly (number | null)[];
}

interface Props {
    label: string;
    /** In milliseconds, the earliest first. */
    times: readonly number[];
    lines: readonly Line[];
    /** Whether the axis begins at zero. */
    fromZero?: boolean;
}

/** Pixels of the frame. */
const HEIGHT = 220;
const LEFT = 52;
const RIGHT = 12;
const TOP = 8;
const BOTTOM = 26;
/** Pixels between ticks, about. */
const TICK_WIDTH = 110;
const TICK_HEIGHT = 45;
/** Each value has a dot when there are at most this many times. */
const DOTS_MAX = 40;
const DAY_MS = 86_400_000;

export function Lines({ label, times, lines, fromZero = false }: Props) {
    const frame = useRef<HTMLDivElement>(null);
    const [width, setWidth] = useState(0);
    useEffect(() => {
        const element = frame.current;
        if (!element) return;
        const watcher = new ResizeObserver(() => setWidth(element.clientWidth));
        watcher.observe(element);
        setWidth(element.clientWidth);
        return () => watcher.disconnect();
    }, []);
    return <div class="lines" ref={frame} role="img" aria-label={label}>{width > 0 && times.length > 0 && <Drawn {...{ times, lines, fromZero, width }} />}</div>;
}

function Drawn({ times, lines, fromZero, width }: Omit<Required<Props>, "label"> & { width: number }) {
    const known = lines.flatMap(line => line.values.filter(value => value !== null));
    const least = Math.min(...(fromZero ? [0] : []), ...known);
    const most = Math.max(...(fromZero ? [1] : []), ...known);
    const [low, top] = least === most ? [least - 1, most + 1] : [least, most];
    const marks = ticks(low, top, (HEIGHT - TOP - BOTTOM) / TICK_HEIGHT);
    const step = (marks[1] ?? top) - (marks[0] ?? low);
    // The highest tick is above the highest value.
    const high = step > 0 ? Math.max(top, (marks.at(-1) ?? top) + (top > (marks.at(-1) ?? top) ? step : 0)) : top;
    const [first, last] = [times[0] ?? 0, times.at(-1) ?? 0];
    const x = (time: number): number => LEFT + ((time - first) / Math.max(1, last - first)) * (width - LEFT - RIGHT);
    const y = (value: number): number => HEIGHT - BOTTOM - ((value - low) / (high - low)) * (HEIGHT - TOP - BOTTOM);
    const offset = zone.value === "utc" ? 0 : new Date(last).getTimezoneOffset();
    const said = (time: number): string => {
        const [day = "", hour = ""] = clock(time, zone.value, 0).split(" ");
        return last - first > 2 * DAY_MS ? day.slice(5) : hour.slice(0, 5);
    };
    return (
        <svg width={width} height={HEIGHT} aria-hidden="true">
            {ticks(low, high, marks.length).map(value => (
                <g key={value}>
                    <line class="lines-grid" x1={LEFT} x2={width - RIGHT} y1={y(value)} y2={y(value)} />
                    <text class="lines-tick" x={LEFT - 8} y={y(value) + 4} text-anchor="end">{value}</text>
                </g>
            ))}
            {timeTicks(first, last, width / TICK_WIDTH, offset).map(time => (
                <g key={time}>
                    <line class="lines-grid" x1={x(time)} x2={x(time)} y1={TOP} y2={HEIGHT - BOTTOM} />
                    <text class="lines-tick" x={x(time)} y={HEIGHT - 8} text-anchor={x(time) > width - LEFT / 2 ? "end" : "middle"}>{said(time)}</text>
                </g>
            ))}
            {lines.map((line, n) => (
                <g key={line.name} class={`line-${n}`}>
                    <path class="lines-line" d={path(times.map((time, at) => [x(time), line.values[at] == null ? null : y(line.values[at])]))} />
                    {times.length <= DOTS_MAX && times.map((time, at) => line.values[at] != null && (
                        <circle key={time} class="lines-dot" cx={x(time)} cy={y(line.values[at])} r="3">
                            <title>{`${line.name}: ${line.values[at]} at ${clock(time, zone.value, 0)}`}</title>
                        </circle>
                    ))}
                </g>
            ))}
        </svg>
    );
}
