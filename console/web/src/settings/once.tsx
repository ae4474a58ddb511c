/** A secret that is shown once. */
import type { ComponentChildren } from "preact";
import { Copy } from "../parts/copy.tsx";
import { Dialog } from "../parts/dialog.tsx";

export function Once({ title, secret, hint, onClose }: { title: string; secret: string | null; hint: ComponentChildren; onClose: () => void }) {
    return (
        <Dialog title={title} onClose={onClose}>
            {secret ? (
                <>
                    <p class="notice warn"><span><span aria-hidden="true">! </span>Copy it now. It is shown this once, and kept nowhere.</span></p>
                    <p class="secret" tabIndex={0}>{secret}</p>
                    <p class="muted">{hint}</p>
                    <div class="buttons">
                        <Copy text={secret} label="Copy" />
                        <button class="primary" onClick={onClose}>I have it</button>
                    </div>
                </>
            ) : (
                <>
                    <p>The request had been answered before, so the secret isn't shown again. Revoke this one and issue another.</p>
                    <div class="buttons"><button onClick={onClose}>Close</button></div>
                </>
            )}
        </Dialog>
    );
}
