/** How many devices ran which version, over time: lines, and the same numbers as a table. */
import { Lines } from "../parts/lines.tsx";
import { count } from "../time/format.ts";
import { Time } from "../time/time.tsx";
import type { Series } from "./versions.ts";

/** How the lines are dashed, in words: never colour alone. */
const DASHES = ["solid", "dashed", "dotted", "dash and dot", "short dashes"];

export function VersionChart({ times, lines, own }: { times: readonly number[]; lines: readonly Series[]; own?: string }) {
    return (
        <>
            <Lines label={`Devices by version over time${own ? `; ${own} is this firmware` : ""}`} times={times} fromZero lines={lines.map(line => ({ name: line.version, values: line.values }))} />
            <ul class="legend" aria-label="Lines">
                {lines.map((line, n) => (
                    <li key={line.version}>
                        <svg class={`legend-line line-${n}`} viewBox="0 0 32 4" aria-hidden="true"><line x1="0" y1="2" x2="32" y2="2" /></svg>
                        {line.version} <span class="muted small">{line.version === own ? "this firmware, " : ""}{DASHES[n]}, last {count(line.values.at(-1) ?? 0)}</span>
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
