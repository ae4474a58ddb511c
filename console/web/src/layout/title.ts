/** The title of the page. It carries the state, because tabs show nothing else. */
import { useEffect } from "preact/hooks";

export function useTitle(title: string): void {
    useEffect(() => {
        document.title = `${title} · Waybill`;
    }, [title]);
}
