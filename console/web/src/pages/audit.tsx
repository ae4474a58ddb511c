/** Audit. */
import { Page } from "../layout/page.tsx";

export function Audit(_: { params: Record<string, string> }) {
    return (
        <Page title="Audit">
            <p class="muted">Not there yet.</p>
        </Page>
    );
}
