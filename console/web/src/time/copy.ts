/** A time that is copied alone is copied as RFC 3339, not as it is shown. */
export function copyTimes(): void {
    document.addEventListener("copy", event => {
        const selection = document.getSelection();
        const time = selection?.anchorNode?.parentElement?.closest("time");
        if (!time || selection?.toString().trim() !== time.textContent) return;
        event.clipboardData?.setData("text/plain", time.dateTime);
        event.preventDefault();
    });
}
