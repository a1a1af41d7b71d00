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

/** What a statement says: ids, each with a time. */
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
/** How many seconds the clocks of two machines may differ. */
const SKEW = 60;
const ACCESS_TOKEN = "at+jwt";
/** The former format of statements is refused. */
const STATEMENT = "revocations.v2+jwt";
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;
const ALGORITHMS = ["EdDSA", "ES256", "RS256"];
const PRIVATE_MEMBERS = ["d", "dp", "dq", "k", "oth", "p", "q", "qi"];
/** None of them is ever honoured: they change the rules of verifying, or bring a key along (RFC 8725, section 3.10). */
const FORBIDDEN_HEADERS = ["b64", "crit", "cty", "enc", "jku", "jwk", "x5c", "x5t", "x5t#S256", "x5u", "zip"];

/** Decides about access tokens from what it is given: key set, revocation statements, token and time. Does no input or output. */
export class Checker {
  #published = "";
  #keys = new Map<string, Key>();
  /** `iat` of the newest statement, and when it came: by the wall clock, and by a clock that is never set. */
  #asOf: number | undefined;
  #heard: number | undefined;
  #heardSteady: number | undefined;
  /**
   * When each session ended; since when tokens of each user that name no session count; until when no token of each user does, but for
   * those of a session that is kept; until when no token of anybody does; when each revoked key was last named.
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

  /**
   * Takes a signed revocation statement. True if it revokes a key that was not revoked before. `now` is in seconds since 1970 UTC,
   * `steady`, if it is given, in seconds of a clock that is never set.
   */
  async hear(signed: string, now: number, steady?: number): Promise<boolean> {
    if (signed.length > MAX_STATEMENT) throw new Refused("invalid", "too_long");
    const required = ["iat", "exp", "window", "sessions", "users", "keys"];
    const said = statement(await this.#signed(signed, STATEMENT, now, SKEW, required), signed);
    if (this.#asOf === undefined || said.iat > this.#asOf) {
      this.#asOf = said.iat;
      this.#heard = now;
      this.#heardSteady = steady;
    }
    // United, not replaced: of several instances one may know of a logout before another does.
    const oldest = this.#asOf - said.window;
    const revokesKey = said.keys.some(([kid]) => !this.#revokedKeys.has(kid));
    unite(this.#sessions, said.sessions, oldest);
    unite(this.#users, said.users, oldest);
    unite(this.#revokedKeys, said.keys, oldest);
    this.#before = Math.max(this.#before, said.before ?? -Infinity);
    for (const [user, ends] of this.#allOf) {
      unite(ends, [], oldest);
      if (ends.size === 0) this.#allOf.delete(user);
    }
    for (const [user, kept, until] of said.allOf) {
      const ends = this.#allOf.get(user) ?? new Map<string | null, number>();
      this.#allOf.set(user, ends);
      unite(ends, [[kept, until]], oldest);
    }
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
      claims = (await this.#signed(token, ACCESS_TOKEN, now, this.leeway, required, this.audience)) as Claims;
      if (typeof claims.sub !== "string" || !["string", "undefined"].includes(typeof claims.sid)) {
        throw new Refused("invalid", "bad_claim");
      }
      if (claims.id !== undefined && !Number.isSafeInteger(claims.id)) {
        // A number of JavaScript would be that of another user.
        const isNumber = typeof claims.id === "number";
        throw new Refused("invalid", isNumber ? "unsafe_id" : "bad_claim", "the id of a user is beyond 2^53, where numbers are rounded");
      }
      verified.put(digest, claims);
    } else {
      this.#checkTimes(claims, now);
    }
    this.#checkRevoked(claims);
    return claims;
  }

  /** For how many seconds nothing was heard from the feed, by the clock that says more; `undefined`: nothing ever was. */
  silence(now: number, steady?: number): number | undefined {
    if (this.#heard === undefined) return undefined;
    const bySteady = steady === undefined || this.#heardSteady === undefined ? 0 : steady - this.#heardSteady;
    return Math.max(0, now - this.#heard, bySteady);
  }

  /**
   * Whether nothing was heard from the feed for longer than `limit` seconds, or the newest that was is older than that by more than clocks
   * may differ: a statement that came late says nothing of the time since it was made.
   */
  isStale(limit: number, now: number, steady?: number): boolean {
    const silence = this.silence(now, steady);
    return silence === undefined || silence > limit || this.#asOf === undefined || now - this.#asOf > limit + SKEW;
  }

  /** How many seconds this clock was ahead of the issuer's when the newest statement came; its way is part of it. */
  clockDifference(): number | undefined {
    return this.#heard === undefined || this.#asOf === undefined ? undefined : this.#heard - this.#asOf;
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
      if (payload.iat > now + SKEW) throw inFuture(payload.iat - now);
      return payload;
    } catch (error) {
      if (error instanceof errors.JOSEError) throw new Refused("invalid", reason(error), this.#detail(error, now));
      throw error;
    }
  }

  #detail(error: errors.JOSEError, now: number): string | undefined {
    if (error instanceof errors.JWTExpired && typeof error.payload.iat === "number") {
      return `it was made ${(now - error.payload.iat).toFixed(0)} s ago: clocks differ by that, or it came late`;
    }
    if (!(error instanceof errors.JWTClaimValidationFailed)) return undefined;
    const { iss, aud } = error.payload;
    if (error.claim === "iss") return `the issuer ${JSON.stringify(this.issuer)} was expected, and ${JSON.stringify(iss)} came`;
    if (error.claim === "aud") return `the audience ${JSON.stringify(this.audience)} was expected, and ${JSON.stringify(aud)} came`;
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
  return new Refused("invalid", "issued_in_future", `it is of ${seconds.toFixed(0)} s from now: clocks differ by ${seconds.toFixed(0)} s or more`);
}

/** Further elements of entries are skipped, so that later versions can say more. */
function statement(claims: JWTPayload, signed: string): Statement {
  const { iat, window, sessions, users, before, keys } = exact(claims, signed);
  const said: Statement = { iat: integer(iat), window: integer(window), sessions: [], users: [], allOf: [], before: undefined, keys: [] };
  if (said.window < 0) throw new Refused("invalid", "bad_claim");
  if (before !== undefined) said.before = integer(before);
  for (const [sid, time] of entries(sessions)) said.sessions.push([session(sid), integer(time)]);
  for (const [id, time, ...rest] of entries(users)) {
    // A number that is too large for JavaScript is text here.
    const user = typeof id === "string" && /^-?\d{16,}$/.test(id) ? id : String(integer(id));
    if (rest.length === 0) said.users.push([user, integer(time)]);
    else said.allOf.push([user, rest[0] === null ? null : session(rest[0]), integer(time)]);
  }
  if (!Array.isArray(keys)) throw new Refused("invalid", "bad_claim");
  for (const kid of keys) {
    if (typeof kid !== "string") throw new Refused("invalid", "bad_claim");
    said.keys.push([kid, said.iat]);
  }
  return said;
}

/** The claims once more if there are integers among them that JavaScript would round: those as text. */
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

function unite<K>(known: Map<K, number>, said: [K, number][], oldest: number): void {
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
