/** A plot of numbers over time. Its colours are those of the theme; the numbers stand beside it as a table. */
import { useEffect, useRef } from "preact/hooks";
import uPlot from "uplot";

/** Height of a plot, in pixels. */
const HEIGHT = 200;

export function Plot({ label, times, values, isUtc }: { label: string; times: number[]; values: (number | null)[]; isUtc: boolean }) {
    const frame = useRef<HTMLDivElement>(null);
    const plot = useRef<uPlot | null>(null);
    useEffect(() => {
        const element = frame.current;
        if (!element) return;
        const colour = (name: string): string => getComputedStyle(element).getPropertyValue(name).trim();
        const axis = { stroke: () => colour("--muted"), grid: { stroke: () => colour("--line"), width: 1 }, ticks: { stroke: () => colour("--line"), width: 1 } };
        const made = new uPlot({
            width: element.clientWidth || 300,
            height: HEIGHT,
            ...(isUtc ? { tzDate: (seconds: number) => uPlot.tzDate(new Date(seconds * 1_000), "Etc/UTC") } : {}),
            series: [{}, { label, stroke: () => colour("--accent"), width: 2, points: { show: times.length < 40 } }],
            axes: [{ ...axis, values: [[86_400, "{YYYY}-{MM}-{DD}", null, null, null, null, null, null, 1], [3_600, "{HH}:{mm}", "\n{MM}-{DD}", null, "\n{MM}-{DD}", null, null, null, 1], [60, "{HH}:{mm}", null, null, null, null, null, null, 1], [1, "{HH}:{mm}:{ss}", null, null, null, null, null, null, 1]] }, { ...axis, size: 56 }],
            legend: { show: false },
            cursor: { y: false },
        }, [times, values], element);
        plot.current = made;
        const watcher = new ResizeObserver(() => made.setSize({ width: element.clientWidth, height: HEIGHT }));
        watcher.observe(element);
        const theme = new MutationObserver(() => made.redraw());
        theme.observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
        const system = window.matchMedia("(prefers-color-scheme: dark)");
        const redraw = (): void => made.redraw();
        system.addEventListener("change", redraw);
        return () => {
            watcher.disconnect();
            theme.disconnect();
            system.removeEventListener("change", redraw);
            made.destroy();
            plot.current = null;
        };
    }, [label, isUtc]);
    useEffect(() => {
        plot.current?.setData([times, values]);
    }, [times, values]);
    return <div class="plot" ref={frame} role="img" aria-label={`Plot of ${label}`} />;
}
