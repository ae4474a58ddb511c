/** Pages of a list. The URL has the cursor, so that a link leads to the same page, and the browser goes back. */
import { href, path, query } from "../router/location.ts";

export function Pager({ next, shown }: { next: string | null | undefined; shown: number }) {
    const parameters = Object.fromEntries(query.value);
    const isFirst = !query.value.get("cursor");
    if (isFirst && !next) return shown === 0 ? null : <p class="muted small">{shown === 1 ? "1 row" : `${shown} rows`}</p>;
    return (
        <nav class="pager" aria-label="Pages">
            {!isFirst && <a class="button" href={href(path.value, { ...parameters, cursor: null })}>First page</a>}
            {next && <a class="button" href={href(path.value, { ...parameters, cursor: next })}>Next page</a>}
        </nav>
    );
}
