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
  /** The user, as the number that session tokens carry: `sub` as a number, never rounded. */
  id?: number;
  /** The session. */
  sid?: string;
}

/** The content of a revocation statement: ids, each with a time. */
interface Statement {
  iat: number;
  window: number;
  sessions: [string, number][];
  users: [string, number][];
  allOf: [string, string | null, number][];
  before: number | undefined;
  keys: [string, number][];
}

interface Key {
  algorithm: string;
  key: CryptoKey;
}

const MAX_TOKEN = 8192;
const MAX_STATEMENT = 4 << 20;
/** Leeway for the difference between the clocks of two machines, in seconds. */
const SKEW = 60;
const ACCESS_TOKEN = "at+jwt";
/** The type of revocation statements. The previous format is refused. */
const STATEMENT = "revocations.v2+jwt";
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;
const ALGORITHMS = ["EdDSA", "ES256", "RS256"];
const PRIVATE_MEMBERS = ["d", "dp", "dq", "k", "oth", "p", "q", "qi"];
/**
 * Headers that are always refused: they change how a token is verified, or contain a key (RFC 8725, section
 * 3.10).
 */
const FORBIDDEN_HEADERS = ["b64", "crit", "cty", "enc", "jku", "jwk", "x5c", "x5t", "x5t#S256", "x5u", "zip"];

/**
 * Verifies access tokens from a key set, revocation statements and a time that are passed in. Does no I/O.
 */
export class Checker {
  #published = "";
  #keys = new Map<string, Key>();
  /** `iat` of the newest statement, and when it was received: by the wall clock, and by a monotonic clock. */
  #issuedAt: number | undefined;
  #received: number | undefined;
  #receivedMonotonic: number | undefined;
  /**
   * Revocations: when each session ended; per user, from when on tokens without a session are valid; per
   * user, up to when all tokens are revoked, except those of a kept session; up to when the tokens of all
   * users are revoked; when each revoked key was last listed.
   */
  #sessions = new Map<string, number>();
  #users = new Map<string, number>();
  #allOf = new Map<string, Map<string | null, number>>();
  #before = -Infinity;
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

  /**
   * Replaces the key set (RFC 7517). If a key is weak, private or malformed, the whole set is rejected and
   * the previous one stays.
   */
  async setKeys(jwks: { keys: JWK[] }): Promise<void> {
    const published = JSON.stringify(jwks);
    if (published === this.#published) return;
    const keys = new Map<string, Key>();
    for (const jwk of jwks.keys) {
      const { kid, alg } = jwk;
      if (!kid || !alg || !ALGORITHMS.includes(alg) || keys.has(kid) || (jwk.use ?? "sig") !== "sig") {
        throw new TypeError("a key of the set has no unique kid, or no accepted algorithm");
      }
      if (PRIVATE_MEMBERS.some((member) => member in jwk)) throw new TypeError("a key of the set is not public");
      const key = await importJWK(jwk, alg);
      if (key instanceof Uint8Array || key.type !== "public") throw new TypeError("a key of the set is not public");
      const { modulusLength } = key.algorithm as { modulusLength?: number };
      if (modulusLength !== undefined && modulusLength < 2048) throw new TypeError("a key of the set is weak");
      keys.set(kid, { algorithm: alg, key });
    }
    // A change of the keys clears the cache of verified tokens.
    this.#published = published;
    this.#keys = keys;
    this.#verified = new VerifiedTokens(this.remembered);
  }

  /**
   * Verifies and applies a signed revocation statement. Returns whether it revokes a key that was not revoked
   * before. `now` is in seconds since 1970 UTC; `monotonic`, if given, in seconds of a monotonic clock.
   */
  async addStatement(signed: string, now: number, monotonic?: number): Promise<boolean> {
    if (signed.length > MAX_STATEMENT) throw new Refused("invalid", "too_long");
    const required = ["iat", "exp", "window", "sessions", "users", "keys"];
    const statement = parseStatement(await this.#signed(signed, STATEMENT, now, SKEW, required), signed);
    if (this.#issuedAt === undefined || statement.iat > this.#issuedAt) {
      this.#issuedAt = statement.iat;
      this.#received = now;
      this.#receivedMonotonic = monotonic;
    }
    // Merged, not replaced: one instance of the issuer may know of a logout before another does.
    const oldest = this.#issuedAt - statement.window;
    const revokesKey = statement.keys.some(([kid]) => !this.#revokedKeys.has(kid));
    merge(this.#sessions, statement.sessions, oldest);
    merge(this.#users, statement.users, oldest);
    merge(this.#revokedKeys, statement.keys, oldest);
    this.#before = Math.max(this.#before, statement.before ?? -Infinity);
    for (const [user, ends] of this.#allOf) {
      merge(ends, [], oldest);
      if (ends.size === 0) this.#allOf.delete(user);
    }
    for (const [user, kept, until] of statement.allOf) {
      const ends = this.#allOf.get(user) ?? new Map<string | null, number>();
      this.#allOf.set(user, ends);
      merge(ends, [[kept, until]], oldest);
    }
    if (revokesKey) this.#verified = new VerifiedTokens(this.remembered);
    return revokesKey;
  }

  /**
   * Returns the claims of an access token that is valid at `now`, in seconds since 1970 UTC. Do not modify
   * them: they are cached.
   */
  async verify(token: string, now: number): Promise<Claims> {
    if (token.length > MAX_TOKEN) throw new Refused("invalid", "too_long");
    const verified = this.#verified;
    const digest = createHash("sha256").update(token).digest("base64");
    let claims = verified.get(digest);
    if (claims === undefined) {
      const required = ["iss", "sub", "aud", "exp", "iat", "jti", "client_id"];
      claims = (await this.#signed(token, ACCESS_TOKEN, now, this.leeway, required, this.audience)) as Claims;
      if (typeof claims.sub !== "string" || !["string", "undefined"].includes(typeof claims.sid)) {
        throw new Refused("invalid", "bad_claim");
      }
      if (claims.id !== undefined && !Number.isSafeInteger(claims.id)) {
        // Rounded by JavaScript, it could be the id of another user.
        const isNumber = typeof claims.id === "number";
        throw new Refused("invalid", isNumber ? "unsafe_id" : "bad_claim", "the user id is above 2^53, where JavaScript rounds numbers");
      }
      verified.put(digest, claims);
    } else {
      this.#checkTimes(claims, now);
    }
    this.#checkRevoked(claims);
    return claims;
  }

  /**
   * Seconds since the newest statement was received, by the clock that shows more; `undefined` if none was.
   */
  silence(now: number, monotonic?: number): number | undefined {
    if (this.#received === undefined) return undefined;
    const byMonotonic = monotonic === undefined || this.#receivedMonotonic === undefined ? 0 : monotonic - this.#receivedMonotonic;
    return Math.max(0, now - this.#received, byMonotonic);
  }

  /**
   * Whether no statement was received for longer than `limit` seconds, or the newest one is older than that
   * by more than the permitted clock difference: a delayed statement says nothing about the time since it was
   * issued.
   */
  isStale(limit: number, now: number, monotonic?: number): boolean {
    const silence = this.silence(now, monotonic);
    return silence === undefined || silence > limit || this.#issuedAt === undefined || now - this.#issuedAt > limit + SKEW;
  }

  /**
   * Seconds by which this clock was ahead of the issuer's when the newest statement was received, including
   * its transit time.
   */
  clockDifference(): number | undefined {
    return this.#received === undefined || this.#issuedAt === undefined ? undefined : this.#received - this.#issuedAt;
  }

  get hasKeys(): boolean {
    return this.#keys.size > 0;
  }

  #checkTimes(claims: Claims, now: number): void {
    if (now >= claims.exp + this.leeway) throw new Refused("invalid", "expired");
    if ((claims.nbf ?? -Infinity) > now + this.leeway) throw new Refused("invalid", "not_yet_valid");
    if (claims.iat > now + SKEW) throw inFuture(claims.iat - now);
  }

  #checkRevoked(claims: Claims): void {
    const { sub, iat } = claims;
    const sid = claims.sid?.toLowerCase();
    if (sid !== undefined && this.#sessions.has(sid)) throw new Refused("revoked", "session_ended");
    if (iat <= this.#before) throw new Refused("revoked", "issued_before");
    for (const [kept, until] of this.#allOf.get(sub) ?? []) {
      if (iat <= until && (kept === null || kept !== sid)) throw new Refused("revoked", "issued_before");
    }
    if (sid === undefined && iat < (this.#users.get(sub) ?? iat)) throw new Refused("revoked", "issued_before");
  }

  /** Returns the payload, if the token has this type and is signed by a key of the issuer. */
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
      // The algorithm follows from the key, never from the token.
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
      if (payload.iat > now + SKEW) throw inFuture(payload.iat - now);
      return payload;
    } catch (error) {
      if (error instanceof errors.JOSEError) throw new Refused("invalid", reason(error), this.#detail(error, now));
      throw error;
    }
  }

  #detail(error: errors.JOSEError, now: number): string | undefined {
    if (error instanceof errors.JWTExpired && typeof error.payload.iat === "number") {
      return `issued ${(now - error.payload.iat).toFixed(0)} s ago: clocks differ by that, or it was delayed`;
    }
    if (!(error instanceof errors.JWTClaimValidationFailed)) return undefined;
    const { iss, aud } = error.payload;
    if (error.claim === "iss") return `expected the issuer ${JSON.stringify(this.issuer)}, got ${JSON.stringify(iss)}`;
    if (error.claim === "aud") return `expected the audience ${JSON.stringify(this.audience)}, got ${JSON.stringify(aud)}`;
    return undefined;
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

function inFuture(seconds: number): Refused {
  return new Refused("invalid", "issued_in_future", `issued in the future: clocks differ by ${seconds.toFixed(0)} s or more`);
}

/** Ignores further elements of entries, which later versions may add. */
function parseStatement(claims: JWTPayload, signed: string): Statement {
  const { iat, window, sessions, users, before, keys } = exact(claims, signed);
  const statement: Statement = { iat: integer(iat), window: integer(window), sessions: [], users: [], allOf: [], before: undefined, keys: [] };
  if (statement.window < 0) throw new Refused("invalid", "bad_claim");
  if (before !== undefined) statement.before = integer(before);
  for (const [sid, time] of entries(sessions)) statement.sessions.push([session(sid), integer(time)]);
  for (const [id, time, ...rest] of entries(users)) {
    // A number that JavaScript would round is a string here.
    const user = typeof id === "string" && /^-?\d{16,}$/.test(id) ? id : String(integer(id));
    if (rest.length === 0) statement.users.push([user, integer(time)]);
    else statement.allOf.push([user, rest[0] === null ? null : session(rest[0]), integer(time)]);
  }
  if (!Array.isArray(keys)) throw new Refused("invalid", "bad_claim");
  for (const kid of keys) {
    if (typeof kid !== "string") throw new Refused("invalid", "bad_claim");
    statement.keys.push([kid, statement.iat]);
  }
  return statement;
}

/**
 * Parses the claims again if they contain integers that JavaScript would round, with those integers as
 * strings.
 */
function exact(claims: JWTPayload, signed: string): JWTPayload {
  const json = Buffer.from(signed.split(".")[1] ?? "", "base64url").toString();
  if (!/\d{16}/.test(json)) return claims;
  const asText = (part: string) => (part.startsWith('"') || Number.isSafeInteger(Number(part)) ? part : `"${part}"`);
  return JSON.parse(json.replace(/"(?:[^"\\]|\\.)*"|-?\d{16,}(?![\d.eE])/g, asText));
}

function entries(value: unknown): unknown[][] {
  const isEntry = (one: unknown) => Array.isArray(one) && one.length >= 2;
  if (!Array.isArray(value) || !value.every(isEntry)) throw new Refused("invalid", "bad_claim");
  return value;
}

function integer(value: unknown): number {
  if (!Number.isSafeInteger(value)) throw new Refused("invalid", "bad_claim");
  return value as number;
}

function session(value: unknown): string {
  if (typeof value !== "string" || !UUID.test(value)) throw new Refused("invalid", "bad_claim");
  return value.toLowerCase();
}

function merge<K>(known: Map<K, number>, added: [K, number][], oldest: number): void {
  for (const [name, time] of known) if (time < oldest) known.delete(name);
  for (const [name, time] of added) known.set(name, Math.max(time, known.get(name) ?? time));
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

/**
 * Cache of claims by the digest of their token, in two generations: when the current one is full, it replaces
 * the previous one.
 */
class VerifiedTokens {
  #current = new Map<string, Claims>();
  #previous = new Map<string, Claims>();
  readonly #size: number;

  constructor(capacity: number) {
    this.#size = Math.max(1, capacity >> 1);
  }

  get(digest: string): Claims | undefined {
    const current = this.#current.get(digest);
    if (current !== undefined) return current;
    const previous = this.#previous.get(digest);
    if (previous !== undefined) this.put(digest, previous);
    return previous;
  }

  put(digest: string, claims: Claims): void {
    if (this.#current.size >= this.#size) {
      this.#previous = this.#current;
      this.#current = new Map();
    }
    this.#current.set(digest, claims);
  }
}
