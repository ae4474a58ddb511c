/** What is shown while there is nothing to show, or nothing new. */
import type { ComponentChildren } from "preact";
import { useEffect, useState } from "preact/hooks";
import type { Problem } from "../api/problem.ts";
import { sentence } from "../api/problem.ts";
import type { Resource } from "../api/resource.ts";
import { now } from "../time/clock.ts";
import { duration } from "../time/format.ts";

/** Before this time nothing is shown, because most replies are faster, in milliseconds. */
const SLOW_MS = 200;

/** A place that waits for data. */
export function Loading() {
    const [isSlow, setSlow] = useState(false);
    useEffect(() => {
        const timer = window.setTimeout(() => setSlow(true), SLOW_MS);
        return () => window.clearTimeout(timer);
    }, []);
    return (
        <div class={isSlow ? "skeleton" : undefined} role="status" data-loading>
            {isSlow && <span class="hidden">Loading</span>}
        </div>
    );
}

/** Why there is nothing. */
export function Failed({ problem, reload }: { problem: Problem; reload?: () => void }) {
    return (
        <div class="notice bad" role="alert">
            <p>
                <span aria-hidden="true">✕ </span>
                {sentence(problem)}
            </p>
            {reload && <button onClick={reload}>Try again</button>}
        </div>
    );
}

/** Nothing to show, and what to do next. */
export function Empty({ title, children }: { title: string; children?: ComponentChildren }) {
    return (
        <div class="empty">
            <p class="strong">{title}</p>
            {children}
        </div>
    );
}

/**
 * What a resource has, in each of its states: data with its age when it is stale, why there is none, or that it is loading.
 */
export function Shown<T>({ of, children }: { of: Resource<T>; children: (data: T) => ComponentChildren }) {
    if (of.data === undefined) return of.problem ? <Failed problem={of.problem} reload={of.reload} /> : <Loading />;
    return (
        <>
            {of.problem && <Stale resource={of} problem={of.problem} />}
            {children(of.data)}
        </>
    );
}

function Stale<T>({ resource, problem }: { resource: Resource<T>; problem: Problem }) {
    const age = resource.readAt === undefined ? "" : `This is ${duration((now.value - resource.readAt) / 1_000)} old. `;
    return (
        <div class="notice warn" role="status">
            <p>
                <span aria-hidden="true">! </span>
                {age}
                {sentence(problem)}
            </p>
        </div>
    );
}
