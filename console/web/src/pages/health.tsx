/** Health. */
import { Page } from "../layout/page.tsx";

export function Health(_: { params: Record<string, string> }) {
    return (
        <Page title="Health">
            <p class="muted">Not there yet.</p>
        </Page>
    );
}
