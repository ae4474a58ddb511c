/** Campaign. */
import { Page } from "../layout/page.tsx";

export function Campaign(_: { params: Record<string, string> }) {
    return (
        <Page title="Campaign">
            <p class="muted">Not there yet.</p>
        </Page>
    );
}
