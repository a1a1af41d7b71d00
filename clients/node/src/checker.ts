import { createHash } from "node:crypto";
import { type CryptoKey, decodeProtectedHeader, errors, importJWK, type JWK, type JWTPayload, jwtVerify } from "jose";
import { Refused } from "./refused.js";

/** The claims of an access token (RFC 9068). */
export interface Claims extends JWTPayload {
  iss: string;
  sub: string;
  aud: string | string[];
  exp: number;
  iat: number;
  jti: string;
  client_id: string;
  /** The user, as the number that session tokens carry. */
  id?: number;
  /** The session. */
  sid?: string;
}

interface Statement extends JWTPayload {
  iat: number;
  window: number;
  sessions: [string, number][];
  users: [number, number][];
  keys: string[];
}

interface Key {
  algorithm: string;
  key: CryptoKey;
}

const MAX_TOKEN = 8192;
const MAX_STATEMENT = 4 << 20;
/** How many seconds the clocks of two machines may differ. */
const SKEW = 60;
const ALGORITHMS = ["EdDSA", "ES256", "RS256"];
const PRIVATE_MEMBERS = ["d", "dp", "dq", "k", "oth", "p", "q", "qi"];
/** None of them is ever honoured: they change the rules of verifying, or bring a key along (RFC 8725, section 3.10). */
const FORBIDDEN_HEADERS = ["b64", "crit", "cty", "enc", "jku", "jwk", "x5c", "x5t", "x5t#S256", "x5u", "zip"];

/** Decides about access tokens from what it is given: key set, revocation statements, token and time. Does no input or output. */
export class Checker {
  #published = "";
  #keys = new Map<string, Key>();
  /** `iat` of the newest statement, and when it came. */
  #asOf: number | undefined;
  #heard: number | undefined;
  /** When each session ended; since when tokens of each user that name no session count; when each revoked key was last named. */
  #sessions = new Map<string, number>();
  #users = new Map<string, number>();
  #revokedKeys = new Map<string, number>();
  #verified: VerifiedTokens;

  constructor(
    readonly issuer: string,
    readonly audience: string = issuer,
    readonly leeway: number = 0,
    readonly remembered: number = 20_000,
  ) {
    this.#verified = new VerifiedTokens(remembered);
  }

  /** Takes the issuer's key set (RFC 7517). One key that is weak, secret or malformed spoils it, and the keys of before stay. */
  async setKeys(jwks: { keys: JWK[] }): Promise<void> {
    const published = JSON.stringify(jwks);
    if (published === this.#published) return;
    const keys = new Map<string, Key>();
    for (const jwk of jwks.keys) {
      const { kid, alg } = jwk;
      if (!kid || !alg || !ALGORITHMS.includes(alg) || keys.has(kid) || (jwk.use ?? "sig") !== "sig") {
        throw new TypeError("a key of the set has no kid of its own, or is of no accepted algorithm");
      }
      if (PRIVATE_MEMBERS.some((member) => member in jwk)) throw new TypeError("a key of the set is not public");
      const key = await importJWK(jwk, alg);
      if (key instanceof Uint8Array || key.type !== "public") throw new TypeError("a key of the set is not public");
      const { modulusLength } = key.algorithm as { modulusLength?: number };
      if (modulusLength !== undefined && modulusLength < 2048) throw new TypeError("a key of the set is weak");
      keys.set(kid, { algorithm: alg, key });
    }
    // Nothing verified survives a change of the keys.
    this.#published = published;
    this.#keys = keys;
    this.#verified = new VerifiedTokens(this.remembered);
  }

  /** Takes a signed revocation statement. True if it revokes a key that was not revoked before. */
  async hear(signed: string, now: number): Promise<boolean> {
    if (signed.length > MAX_STATEMENT) throw new Refused("invalid", "too_long");
    const required = ["iat", "exp", "window", "sessions", "users", "keys"];
    const said = (await this.#signed(signed, "revocations+jwt", now, SKEW, required)) as Statement;
    if (this.#asOf === undefined || said.iat > this.#asOf) {
      this.#asOf = said.iat;
      this.#heard = now;
    }
    // United, not replaced: of several instances one may know of a logout before another does.
    const oldest = this.#asOf - said.window;
    const users = said.users.map(([user, since]): [string, number] => [String(user), since]);
    const revokesKey = said.keys.some((kid) => !this.#revokedKeys.has(kid));
    unite(this.#sessions, said.sessions, oldest);
    unite(this.#users, users, oldest);
    unite(this.#revokedKeys, said.keys.map((kid) => [kid, said.iat]), oldest);
    if (revokesKey) this.#verified = new VerifiedTokens(this.remembered);
    return revokesKey;
  }

  /** The claims of an access token that is valid at `now`, in seconds since 1970 UTC. Not to be changed: they are remembered. */
  async verify(token: string, now: number): Promise<Claims> {
    if (token.length > MAX_TOKEN) throw new Refused("invalid", "too_long");
    const verified = this.#verified;
    const digest = createHash("sha256").update(token).digest("base64");
    let claims = verified.get(digest);
    if (claims === undefined) {
      const required = ["iss", "sub", "aud", "exp", "iat", "jti", "client_id"];
      claims = (await this.#signed(token, "at+jwt", now, this.leeway, required, this.audience)) as Claims;
      if (typeof claims.sub !== "string" || !["string", "undefined"].includes(typeof claims.sid)) {
        throw new Refused("invalid", "bad_claim");
      }
      verified.put(digest, claims);
    } else if (now >= claims.exp + this.leeway) {
      throw new Refused("invalid", "expired");
    }
    if (claims.sid !== undefined) {
      if (this.#sessions.has(claims.sid)) throw new Refused("revoked", "session_ended");
    } else if (claims.iat < (this.#users.get(claims.sub) ?? claims.iat)) {
      throw new Refused("revoked", "issued_before");
    }
    return claims;
  }

  /** For how many seconds nothing was heard from the feed; `undefined`: nothing ever was. */
  silence(now: number): number | undefined {
    return this.#heard === undefined ? undefined : Math.max(0, now - this.#heard);
  }

  get hasKeys(): boolean {
    return this.#keys.size > 0;
  }

  /** The payload, if a key of the issuer's signed it as this type of token. */
  async #signed(
    token: string,
    typ: string,
    now: number,
    leeway: number,
    requiredClaims: string[],
    audience?: string,
  ): Promise<JWTPayload> {
    const key = this.#keyOf(token);
    try {
      // The algorithm is that of the key, never the token's choice.
      const { payload } = await jwtVerify(token, key.key, {
        algorithms: [key.algorithm],
        typ,
        issuer: this.issuer,
        ...(audience === undefined ? {} : { audience }),
        clockTolerance: leeway,
        currentDate: new Date(Math.floor(now) * 1000),
        requiredClaims,
      });
      if (typeof payload.iat !== "number") throw new Refused("invalid", "bad_claim");
      if (payload.iat > now + SKEW) throw new Refused("invalid", "issued_in_future");
      return payload;
    } catch (error) {
      if (error instanceof errors.JOSEError) throw new Refused("invalid", reason(error));
      throw error;
    }
  }

  #keyOf(token: string): Key {
    let header;
    try {
      header = decodeProtectedHeader(token);
    } catch {
      throw new Refused("invalid", "malformed");
    }
    if (FORBIDDEN_HEADERS.some((name) => name in header)) throw new Refused("invalid", "forbidden_header");
    if (this.#keys.size === 0) throw new Refused("unavailable", "no_keys");
    if (typeof header.kid !== "string") throw new Refused("invalid", "no_key_id");
    if (this.#revokedKeys.has(header.kid)) throw new Refused("revoked", "key_revoked");
    const key = this.#keys.get(header.kid);
    if (key === undefined) throw new Refused("invalid", "unknown_key");
    return key;
  }
}

function unite(known: Map<string, number>, said: [string, number][], oldest: number): void {
  for (const [name, time] of known) if (time < oldest) known.delete(name);
  for (const [name, time] of said) known.set(name, Math.max(time, known.get(name) ?? time));
}

function reason(error: errors.JOSEError): string {
  if (error instanceof errors.JWTExpired) return "expired";
  if (error instanceof errors.JWSSignatureVerificationFailed) return "bad_signature";
  if (error instanceof errors.JOSEAlgNotAllowed) return "wrong_algorithm";
  if (error instanceof errors.JWTClaimValidationFailed) {
    const wrong: Record<string, string> = { typ: "wrong_type", iss: "wrong_issuer", aud: "wrong_audience", nbf: "not_yet_valid" };
    return wrong[error.claim] ?? "bad_claim";
  }
  return "malformed";
}

/** Claims by the digest of their token, in two generations: when the young one is full it becomes the old one, which is forgotten. */
class VerifiedTokens {
  #young = new Map<string, Claims>();
  #old = new Map<string, Claims>();
  readonly #size: number;

  constructor(capacity: number) {
    this.#size = Math.max(1, capacity >> 1);
  }

  get(digest: string): Claims | undefined {
    const young = this.#young.get(digest);
    if (young !== undefined) return young;
    const old = this.#old.get(digest);
    if (old !== undefined) this.put(digest, old);
    return old;
  }

  put(digest: string, claims: Claims): void {
    if (this.#young.size >= this.#size) {
      this.#old = this.#young;
      this.#young = new Map();
    }
    this.#young.set(digest, claims);
  }
}
