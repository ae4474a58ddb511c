/** A modal dialog: the browser keeps the focus in it, and Escape closes it. */
import type { ComponentChildren } from "preact";
import { useEffect, useId, useRef } from "preact/hooks";

export function Dialog({ title, onClose, children, isWide = false }: {
    title: string;
    onClose: () => void;
    children: ComponentChildren;
    isWide?: boolean;
}) {
    const dialog = useRef<HTMLDialogElement>(null);
    const id = useId();
    useEffect(() => {
        const before = document.activeElement as HTMLElement | null;
        dialog.current?.showModal();
        return () => before?.focus?.();
    }, []);
    return (
        <dialog ref={dialog} class={isWide ? "wide" : undefined} aria-labelledby={id} onClose={onClose}
            onClick={event => event.target === dialog.current && onClose()}>
            <div class="dialog-body">
                <h2 id={id}>{title}</h2>
                {children}
            </div>
        </dialog>
    );
}
