/** Upload firmware. */
import { Page } from "../layout/page.tsx";

export function Upload(_: { params: Record<string, string> }) {
    return (
        <Page title="Upload firmware">
            <p class="muted">Not there yet.</p>
        </Page>
    );
}
