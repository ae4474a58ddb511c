/** The navigation. */
import { href, path } from "../router/location.ts";
import { may } from "../session/session.ts";

export interface Place {
    title: string;
    path: string;
    /** Follows `g`. */
    key: string;
    /** The role that sees it, if not everybody does. */
    role?: string;
}

export const PLACES: readonly Place[] = [
    { title: "Now", path: "/", key: "n" },
    { title: "Campaigns", path: "/campaigns", key: "c" },
    { title: "Devices", path: "/devices", key: "d" },
    { title: "Firmware", path: "/firmware", key: "f" },
    { title: "Audit", path: "/audit", key: "a", role: "auditor" },
    { title: "Health", path: "/health", key: "h" },
    { title: "Settings", path: "/settings", key: "s" },
];

function isHere(place: Place): boolean {
    return place.path === "/" ? path.value === "/" : path.value === place.path || path.value.startsWith(`${place.path}/`);
}

export function Navigation() {
    return (
        <nav class="main-nav" aria-label="Main">
            {PLACES.filter(place => !place.role || may(place.role)).map(place => (
                <a key={place.path} href={href(place.path)} aria-current={isHere(place) ? "page" : undefined}>{place.title}</a>
            ))}
        </nav>
    );
}
