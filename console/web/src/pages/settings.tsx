/** Settings. */
import { Page } from "../layout/page.tsx";

export function Settings(_: { params: Record<string, string> }) {
    return (
        <Page title="Settings">
            <p class="muted">Not there yet.</p>
        </Page>
    );
}
