/**
 * Whose fault it is: there is no token; the token itself is wrong; it was right until its session ended, or its user's tokens or its
 * key were revoked; or nothing can be said at the moment, because the keys are not known yet or the feed was not heard for too long.
 */
export type RefusedKind = "missing" | "invalid" | "revoked" | "unavailable";

const DETAILS: Record<RefusedKind, string> = {
  missing: "Authentication credentials were not provided.",
  invalid: "Invalid authentication. Could not decode token.",
  revoked: "Invalid authentication. Could not decode token.",
  unavailable: "Access tokens cannot be verified at the moment.",
};

/**
 * A token is not accepted. `code` is a stable word for logs; a client should learn only whether another token would help. `detail` is
 * for the operator: what was expected and what came.
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

  /** 401, or 503 where the fault is not the token's. */
  get status(): 401 | 503 {
    return this.kind === "unavailable" ? 503 : 401;
  }

  /** The headers of an answer (RFC 6750). */
  get headers(): Record<string, string> {
    const json = { "Content-Type": "application/json" };
    if (this.kind === "unavailable") return { ...json, "Retry-After": "5" };
    const error = this.kind === "missing" ? "" : ', error="invalid_token"';
    return { ...json, "WWW-Authenticate": `Bearer realm="api"${error}` };
  }

  /** The body of an answer, in Doorwarden's own shape. */
  get body(): string {
    return JSON.stringify({ detail: DETAILS[this.kind] });
  }

  /** The answer of a fetch handler. */
  response(): Response {
    return new Response(this.body, { status: this.status, headers: this.headers });
  }
}
