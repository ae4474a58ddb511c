/** A bar of parts of a whole. The same numbers stand beside it as text, so it is hidden from those who don't see. */

export interface Part {
    tone: "ok" | "bad" | "work" | "warn" | "rest";
    value: number;
}

export function Bar({ parts, whole }: { parts: readonly Part[]; whole: number }) {
    let x = 0;
    return (
        <svg class="bar" viewBox="0 0 1000 10" preserveAspectRatio="none" aria-hidden="true">
            <rect class="bar-rest" x="0" y="0" width="1000" height="10" />
            {whole > 0 && parts.map(part => {
                const width = (part.value / whole) * 1_000;
                const rect = <rect key={part.tone} class={`bar-${part.tone}`} x={x} y="0" width={Math.min(width, 1_000 - x)} height="10" />;
                x += width;
                return rect;
            })}
        </svg>
    );
}
