/**
 * Verifies Doorwarden's access tokens offline, and still refuses tokens of ended sessions.
 *
 *     const verifier = new Verifier("https://id.example.com", { audience: "https://api.example.com" });
 *     const claims = await verifier.verify(token); // or throws Refused
 */
export { Checker, type Claims } from "./checker.js";
export { bearer, claimsOf, express, protect, type ExpressRequest } from "./handlers.js";
export { Refused, type RefusedKind } from "./refused.js";
export { Verifier, type Status, type VerifierOptions } from "./verifier.js";
