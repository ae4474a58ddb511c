/** Kinds of events of a device, to show some of them only. Pure. */

export const KINDS = [
    { name: "updates", label: "Updates", has: (type: string) => type.startsWith("update.") || type === "device.version_regressed" },
    { name: "versions", label: "Versions and reports", has: (type: string) => /^device\.(versions|info)_reported$|_reported$/.test(type) && type.startsWith("device.") },
    { name: "connection", label: "Connection", has: (type: string) => /^device\.(came_online|went_offline)$/.test(type) },
    { name: "commands", label: "Commands", has: (type: string) => type.startsWith("command.") },
    { name: "people", label: "Changes and holds", has: (type: string) => /^device\.(registered|amended|held|released|decommissioned|recommissioned)$/.test(type) },
    { name: "access", label: "Credentials and keys", has: (type: string) => /credential|lorawan_keys/.test(type) },
    { name: "network", label: "Network server", has: (type: string) => /^device\.network_|^lorawan_profile\./.test(type) },
    { name: "failures", label: "Failures only", has: (type: string) => /failed|rejected|timed_out|expired|regressed|refused|offline|missing/.test(type) },
] as const;

/** Events of the kinds that are chosen; all when none is. */
export function ofKinds<T extends { type: string }>(items: readonly T[], chosen: readonly string[]): T[] {
    const kinds = KINDS.filter(kind => chosen.includes(kind.name));
    const isFailures = chosen.includes("failures");
    const others = kinds.filter(kind => kind.name !== "failures");
    return items.filter(item =>
        (others.length === 0 || others.some(kind => kind.has(item.type))) &&
        (!isFailures || KINDS.some(kind => kind.name === "failures" && kind.has(item.type))));
}
