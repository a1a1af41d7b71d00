import type { IncomingMessage, ServerResponse } from "node:http";
import type { Claims } from "./checker.js";
import { Refused } from "./refused.js";
import type { Verifier } from "./verifier.js";

/** An express request with the claims of its token. */
export type ExpressRequest<R = IncomingMessage> = R & { auth: Claims };

/**
 * Returns the claims of a request; throws if the middleware {@link express} did not run before the handler.
 */
export function claimsOf(request: object): Claims {
  const { auth } = request as Partial<ExpressRequest>;
  if (auth === undefined) throw new TypeError("no verifier covers this route. hint: call app.use(express(verifier)) before it");
  return auth;
}

/**
 * Returns the token of an `Authorization` header: exactly two words, of which the first is `Bearer` in any
 * case (RFC 6750).
 */
export function bearer(authorization: string | null | undefined): string {
  const words = (authorization ?? "").trim().split(/\s+/);
  const [scheme, token] = words;
  if (words.length !== 2 || scheme?.toLowerCase() !== "bearer" || !token) throw new Refused("missing", "no_token");
  return token;
}

/**
 * Middleware for express and compatible frameworks: sets `request.auth` to the claims, or responds with the
 * error.
 */
export function express(
  verifier: Verifier,
): (request: IncomingMessage, response: ServerResponse, next: (error?: unknown) => void) => Promise<void> {
  return async (request, response, next) => {
    try {
      (request as ExpressRequest).auth = await verifier.verify(bearer(request.headers.authorization));
    } catch (error) {
      if (!(error instanceof Refused)) return next(error);
      response.writeHead(error.status, error.headers).end(error.body);
      return;
    }
    next();
  };
}

/** Wraps a fetch handler, which is only called with the claims of a valid token. */
export function protect<Rest extends unknown[]>(
  verifier: Verifier,
  handler: (request: Request, claims: Claims, ...rest: Rest) => Response | Promise<Response>,
): (request: Request, ...rest: Rest) => Promise<Response> {
  return async (request, ...rest) => {
    let claims: Claims;
    try {
      claims = await verifier.verify(bearer(request.headers.get("authorization")));
    } catch (error) {
      if (error instanceof Refused) return error.response();
      throw error;
    }
    return handler(request, claims, ...rest);
  };
}
