/** Problems: why a request was not answered as it was meant (RFC 9457). */

export interface FieldError {
    field: string;
    reason: string;
}

export class Problem extends Error {
    constructor(
        readonly status: number,
        /** The last segment of the problem's type. */
        readonly code: string,
        readonly detail: string,
        readonly errors: FieldError[] = [],
        readonly facts: unknown = undefined,
    ) {
        super(detail);
    }

    /** Whether the same request may be answered later. */
    get isPassing(): boolean {
        return this.status === 0 || this.status === 429 || this.status >= 500;
    }
}

/** A problem from the body of a reply. */
export function problemOf(status: number, body: unknown): Problem {
    const said = (typeof body === "object" && body !== null ? body : {}) as Record<string, unknown>;
    const text = (name: string): string => (typeof said[name] === "string" ? (said[name] as string) : "");
    const code = text("type").split("/").pop() || `http_${status}`;
    const errors = Array.isArray(said.errors) ? (said.errors as FieldError[]) : [];
    return new Problem(status, code, text("detail") || text("title") || `the service answered ${status}`, errors, said.facts);
}

/** The service can't be reached. */
export function unreachable(): Problem {
    return new Problem(0, "unreachable", "the service can't be reached");
}

/** What a person reads: which part is away, and whether the page tries again. */
export function sentence(problem: Problem): string {
    switch (problem.code) {
        case "unreachable":
            return "The service can't be reached. It is tried again.";
        case "postgresql_unavailable":
            return "PostgreSQL can't be reached, so nothing can be read. It is tried again.";
        case "read_model_behind":
            return "The read model is behind the log. What is shown is older; it is read again.";
        case "event_log_unavailable":
        case "sessions_unavailable":
        case "api_keys_unavailable":
            return "NATS can't be reached. It is tried again.";
        case "starting":
            return "The service is starting.";
        default:
            return problem.detail.charAt(0).toUpperCase() + problem.detail.slice(1) + (problem.detail.endsWith(".") ? "" : ".");
    }
}
