/**
 * Why a token is refused: there is none (`missing`); it is not valid (`invalid`); it, its session, its user's
 * tokens or its key were revoked (`revoked`); or it cannot be verified at the moment, because there are no
 * keys yet or the feed is stale (`unavailable`).
 */
export type RefusedKind = "missing" | "invalid" | "revoked" | "unavailable";

const DETAILS: Record<RefusedKind, string> = {
  missing: "Authentication credentials were not provided.",
  invalid: "Invalid authentication. Could not decode token.",
  revoked: "Invalid authentication. Could not decode token.",
  unavailable: "Access tokens cannot be verified at the moment.",
};

/**
 * A token is refused. `code` is stable and meant for logs; a client should only learn whether another token
 * would help. `detail` is for the operator: what was expected and what was received.
 */
export class Refused extends Error {
  constructor(
    readonly kind: RefusedKind,
    readonly code: string,
    readonly detail?: string,
  ) {
    super(`the token is refused: ${code}`);
    this.name = "Refused";
  }

  /** 401, or 503 if the token is not at fault. */
  get status(): 401 | 503 {
    return this.kind === "unavailable" ? 503 : 401;
  }

  /** The headers of a response (RFC 6750). */
  get headers(): Record<string, string> {
    const json = { "Content-Type": "application/json" };
    if (this.kind === "unavailable") return { ...json, "Retry-After": "5" };
    const error = this.kind === "missing" ? "" : ', error="invalid_token"';
    return { ...json, "WWW-Authenticate": `Bearer realm="api"${error}` };
  }

  /** The body of a response, in Doorwarden's format. */
  get body(): string {
    return JSON.stringify({ detail: DETAILS[this.kind] });
  }

  /** The response of a fetch handler. */
  response(): Response {
    return new Response(this.body, { status: this.status, headers: this.headers });
  }
}
