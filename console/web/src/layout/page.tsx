/** The frame of a page: its heading, which gets the focus when the page changes, and whether it shows the past. */
import type { ComponentChildren } from "preact";
import { setQuery } from "../router/location.ts";
import { at, isComparing } from "../time/clock.ts";
import { Time } from "../time/time.tsx";
import { useTitle } from "./title.ts";

interface Props {
    title: string;
    /** The title of the tab, with the state of what is shown. */
    tabTitle?: string;
    /** Beside the heading. */
    aside?: ComponentChildren;
    /** Whether the page can show a moment of the past. */
    showsPast?: boolean;
    /** Where the API has what is shown, below `/api/v1`. */
    source?: string;
    /** Whether it can show that moment beside what is now. */
    compares?: boolean;
    children: ComponentChildren;
}

export function Page({ title, tabTitle, aside, showsPast = false, compares = false, source, children }: Props) {
    useTitle(tabTitle ?? title);
    return (
        <>
            <div class="page-head">
                <h1 tabIndex={-1}>{title}</h1>
                {aside}
            </div>
            {at.value && <Moment time={at.value} showsPast={showsPast} compares={compares} />}
            {children}
            {source && <p class="small"><a href={`/api/v1${source}${at.value && showsPast ? `?at_time=${encodeURIComponent(at.value)}` : ""}`}>As JSON</a></p>}
        </>
    );
}

/** Says what the page shows while a moment of the past is looked at. */
function Moment({ time, showsPast, compares }: { time: string; showsPast: boolean; compares: boolean }) {
    const isBoth = compares && isComparing.value;
    return showsPast ? (
        <div class="notice past">
            <p role="status">
                <span aria-hidden="true">◷ </span>This page shows how it was at <Time at={time} />{isBoth && ", and what differs now"}.
            </p>
            {compares && <button aria-pressed={isBoth} onClick={() => setQuery({ compare: isBoth ? null : "now" })}>Compare with now</button>}
        </div>
    ) : (
        <p class="notice warn" role="status">
            <span><span aria-hidden="true">! </span>This page is shown as of now, not at <Time at={time} />.</span>
        </p>
    );
}
