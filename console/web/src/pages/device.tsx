/** Device. */
import { Page } from "../layout/page.tsx";

export function Device(_: { params: Record<string, string> }) {
    return (
        <Page title="Device">
            <p class="muted">Not there yet.</p>
        </Page>
    );
}
