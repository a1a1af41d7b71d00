import { Checker, type Claims } from "./checker.js";
import { atMost, Fetcher, WAIT } from "./fetcher.js";
import { Deadline, FetchError, Issuer, chunks, text } from "./http.js";
import { Refused } from "./refused.js";

const JWKS = "/.well-known/jwks.json";
const FEED = "/.well-known/revocations";
const STREAM = "/.well-known/revocations/stream";
const MAX_KEY_SET = 256 << 10;
const MAX_STATEMENT = 4 << 20;

// All in milliseconds. Timeout of a fetch.
const FETCH_TIMEOUT = 5000;
// Time without an event of the stream, longer than a heartbeat, after which the statement is fetched.
const SILENCE = 7000;
// Interval of fetching the statement while there is no stream, and pause before the stream is tried again.
const POLL = 1000;
const WITHOUT_STREAM = 30_000;
// Minimum interval between two fetches of the key set because of the feed.
const FEED_REFRESH = 250;
// Maximum age of the key set if it has no Cache-Control.
const DEFAULT_MAX_AGE = 300_000;
// Minimum interval between two warnings of the same kind.
const MINUTE = 60_000;
// In seconds: clock difference from which on warnings mention it.
const NOTABLE_DIFFERENCE = 10;

/** Options of a {@link Verifier}. */
export interface VerifierOptions {
  /** `aud` of the tokens to accept. Default: the issuer. */
  audience?: string;
  /** URL at which the issuer is reached, if it differs, such as a name inside a cluster. */
  address?: string;
  /**
   * Seconds without a statement after which `whenStale` applies. Default: 30; the feed has a heartbeat every
   * 5.
   */
  staleLimit?: number;
  /**
   * What to do while the feed is stale: refuse every token (the default), or accept correctly signed ones.
   */
  whenStale?: "refuse" | "accept";
  /** Seconds of leeway for `exp` and `nbf`, at most 60. Default: 0. */
  leeway?: number;
  /** Maximum number of cached verified tokens. Default: 20,000. */
  remembered?: number;
  /** Minimum seconds between two fetches of the key set because of tokens with unknown keys. Default: 5. */
  refreshInterval?: number;
  /** Allow an issuer on another machine without TLS. Default: false. */
  allowHttp?: boolean;
  /** The clock, in seconds since 1970 UTC; for tests. */
  clock?: () => number;
  /** Called with warnings. Default: `console.warn`. */
  warn?: (message: string) => void;
}

/** State of a verifier, for health checks and metrics. */
export interface Status {
  hasKeys: boolean;
  /** Seconds since the newest statement was received; `undefined` if none was. */
  silenceSecs: number | undefined;
  /** Whether the feed is stale, so that `whenStale` applies. */
  isStale: boolean;
}

/**
 * Verifies access tokens of one issuer, and follows its revocation feed (docs/revocation-feed.md) until
 * {@link close}.
 */
export class Verifier {
  readonly checker: Checker;
  readonly #issuer: Issuer;
  readonly #staleLimit: number;
  readonly #accepts: boolean;
  readonly #refreshInterval: number;
  readonly #clock: () => number;
  readonly #warn: (message: string) => void;
  readonly #warned = new Map<string, number>();
  readonly #closing = new AbortController();
  readonly #keys = new Fetcher((onDemand) => this.#fetchKeys(onDemand));
  readonly #statements = new Fetcher((onDemand) => this.#fetchStatement(onDemand));
  readonly #ready: Promise<void>;
  #becomeReady: () => void = () => {};
  #isReady = false;
  readonly #started = performance.now();
  #wasStale = false;
  #etag: string | undefined;
  /** The last error, for the warning of `ready`. */
  #lastError = "";
  #failures = { keys: 0, statements: 0, streams: 0 };

  constructor(issuer: string, options: VerifierOptions = {}) {
    const { audience, address, leeway = 0, remembered, whenStale = "refuse" } = options;
    if (!["refuse", "accept"].includes(whenStale)) throw new TypeError('whenStale must be "refuse" or "accept"');
    this.#issuer = new Issuer(address ?? issuer, options.allowHttp ?? false);
    this.checker = new Checker(issuer, audience, Math.min(leeway, 60), remembered);
    this.#staleLimit = options.staleLimit ?? 30;
    this.#accepts = whenStale === "accept";
    this.#refreshInterval = (options.refreshInterval ?? 5) * 1000;
    this.#clock = options.clock ?? (() => Date.now() / 1000);
    this.#warn = options.warn ?? ((message) => console.warn(message));
    this.#ready = new Promise((resolve) => (this.#becomeReady = resolve));
    this.#keys.start();
    this.#statements.start();
    void this.#followStream();
  }

  /**
   * Returns the claims of a valid access token; do not modify them. Throws {@link Refused}.
   *
   * If the token names an unknown key, the key set is fetched again, at most once per `refreshInterval`.
   * Before tokens are refused because the feed is stale, the statement is fetched. Neither waits longer than
   * two seconds.
   */
  async verify(token: string): Promise<Claims> {
    const end = performance.now() + WAIT;
    if (!this.#isReady) await atMost(this.#started + WAIT - performance.now(), this.#ready);
    let claims: Claims;
    try {
      claims = await this.checker.verify(token, this.#clock());
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      this.#warnOfCause(error);
      if (!["unknown_key", "no_keys"].includes(error.code)) throw error;
      await this.#keys.request(this.#refreshInterval, end - performance.now());
      claims = await this.checker.verify(token, this.#clock());
    }
    if (!this.#accepts && this.#isStale()) {
      await this.#statements.request(POLL, end - performance.now());
      // The new statement may revoke this token.
      claims = await this.checker.verify(token, this.#clock());
    }
    const isStale = this.#isStale();
    if (isStale && !this.#wasStale) this.#warn(`the revocation feed of ${this.#issuer.url} is stale`);
    this.#wasStale = isStale;
    if (isStale && !this.#accepts) throw new Refused("unavailable", "stale");
    return claims;
  }

  /**
   * Waits until the key set and a first statement were received. Returns false, and warns with advice, if
   * they were not within `timeout` milliseconds.
   */
  async ready(timeout: number = 5000): Promise<boolean> {
    await atMost(timeout, this.#ready);
    if (!this.#isReady) {
      this.#warn(
        `no keys and revocations from ${this.#issuer.url} within ${timeout / 1000} s${this.#lastError && ` (${this.#lastError})`}. hint: check ` +
          "that it runs and is reachable from here; if it has another name here, pass that as `address`",
      );
    }
    return this.#isReady;
  }

  /** Returns the current state. */
  status(): Status {
    const silenceSecs = this.checker.silence(this.#clock(), monotonic());
    return { hasKeys: this.checker.hasKeys, silenceSecs, isStale: this.#isStale() };
  }

  /** Stops all fetching. Keys and statements received before remain in use until they are stale. */
  close(): void {
    this.#closing.abort();
    this.#keys.stop();
    this.#statements.stop();
  }

  #isStale(): boolean {
    return this.checker.isStale(this.#staleLimit, this.#clock(), monotonic());
  }

  /** Warns if the cause is the configuration or a clock, rather than one token. */
  #warnOfCause(refused: Refused): void {
    if (["wrong_audience", "wrong_issuer", "issued_in_future", "unsafe_id"].includes(refused.code)) {
      this.#warnMinutely(refused.code, `tokens are refused: ${refused.detail}`);
    } else if (["expired", "not_yet_valid"].includes(refused.code)) {
      const difference = Math.abs(this.checker.clockDifference() ?? 0);
      if (difference <= NOTABLE_DIFFERENCE) return;
      this.#warnMinutely(refused.code, `tokens are refused as ${refused.code}: clocks differ by about ${difference.toFixed(0)} s`);
    }
  }

  /** Bypasses caches on demand: the caller needs a key that a cached set may lack. */
  async #fetchKeys(onDemand: boolean): Promise<number> {
    const deadline = new Deadline(FETCH_TIMEOUT, this.#closing.signal);
    try {
      const response = await this.#issuer.get(JWKS, ["application/jwk-set+json", "application/json"], deadline, onDemand);
      await this.checker.setKeys(JSON.parse(await text(response, MAX_KEY_SET, deadline)));
      this.#failures.keys = 0;
      this.#checkReady();
      const found = /max-age=(\d{1,9})/.exec(response.headers.get("cache-control") ?? "");
      const maxAge = found ? Number(found[1]) * 1000 : DEFAULT_MAX_AGE;
      return jittered(Math.min(Math.max(maxAge, 10_000), 3_600_000));
    } catch (error) {
      this.#report("could not fetch the key set", error);
      this.#failures.keys += 1;
      return backoff(this.#failures.keys);
    } finally {
      deadline.clear();
    }
  }

  async #fetchStatement(onDemand: boolean): Promise<number> {
    const deadline = new Deadline(FETCH_TIMEOUT, this.#closing.signal);
    try {
      const response = await this.#issuer.get(FEED, ["application/jwt"], deadline, onDemand, this.#etag);
      if (response.status === 200) {
        await this.#apply(await text(response, MAX_STATEMENT, deadline));
        this.#etag = response.headers.get("etag") ?? undefined;
      }
      this.#failures.statements = 0;
      return POLL;
    } catch (error) {
      this.#report("could not fetch the revocations", error);
      this.#failures.statements += 1;
      return Math.max(POLL, backoff(this.#failures.statements));
    } finally {
      deadline.clear();
    }
  }

  async #followStream(): Promise<void> {
    while (!this.#closing.signal.aborted) {
      let received = false;
      let wait = 0;
      try {
        received = await this.#stream();
      } catch (error) {
        this.#report("the stream of revocations ended", error);
        if (error instanceof FetchError && error.status !== undefined) wait = jittered(WITHOUT_STREAM);
      }
      this.#failures.streams = received ? 0 : this.#failures.streams + 1;
      await this.#sleep(Math.max(wait, backoff(this.#failures.streams)));
    }
  }

  /** Reads the stream until it ends, as it does regularly. Returns whether an event was received. */
  async #stream(): Promise<boolean> {
    const deadline = new Deadline(SILENCE, this.#closing.signal);
    let status: number | undefined;
    let received = false;
    try {
      const response = await this.#issuer.get(STREAM, ["text/event-stream"], deadline);
      status = response.status;
      let rest = "";
      let data = "";
      for await (const chunk of chunks(response, deadline)) {
        const lines = (rest + chunk).split("\n");
        rest = lines.pop() ?? "";
        if (rest.length + data.length > MAX_STATEMENT) throw new FetchError("an event of the stream is too long");
        for (const line of lines.map((line) => line.replace(/\r$/, ""))) {
          if (line.startsWith("data:")) data = line.slice(5).trim();
          if (line !== "" || data === "") continue;
          await this.#apply(data);
          this.#statements.postpone(SILENCE);
          data = "";
          received = true;
          deadline.restart();
        }
      }
      return received;
    } catch (error) {
      if (!deadline.isLate) throw error;
      throw new FetchError("no events from the stream", received ? undefined : status);
    } finally {
      deadline.clear();
    }
  }

  /**
   * Applies a statement; fetches the key set first if it is signed with an unknown key, and afterwards if it
   * revokes one.
   */
  async #apply(statement: string): Promise<void> {
    let revokesKey: boolean;
    try {
      revokesKey = await this.checker.addStatement(statement, this.#clock(), monotonic());
    } catch (error) {
      if (!(error instanceof Refused) || !["unknown_key", "no_keys"].includes(error.code)) throw error;
      await this.#sleep(this.#keys.remaining(FEED_REFRESH));
      await this.#keys.request(FEED_REFRESH);
      revokesKey = await this.checker.addStatement(statement, this.#clock(), monotonic());
    }
    this.#checkReady();
    if (revokesKey) {
      this.#warn(`a key of ${this.#issuer.url} was revoked`);
      void this.#keys.request(FEED_REFRESH);
    }
    const difference = this.checker.clockDifference() ?? 0;
    if (Math.abs(difference) > NOTABLE_DIFFERENCE) {
      const direction = difference > 0 ? "ahead of" : "behind";
      this.#warnMinutely(
        "clocks",
        `clocks differ by about ${Math.abs(difference).toFixed(0)} s: this machine is ${direction} ${this.#issuer.url}`,
      );
    }
  }

  #checkReady(): void {
    if (this.#isReady || !this.checker.hasKeys || this.checker.clockDifference() === undefined) return;
    this.#isReady = true;
    this.#becomeReady();
  }

  #report(what: string, error: unknown): void {
    if (this.#closing.signal.aborted) return;
    const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
    const detail = error instanceof Refused && error.detail !== undefined ? `, ${error.detail}` : "";
    this.#lastError = `${what}: ${cause instanceof Error ? cause.message || cause.name : String(cause)}${detail}`;
    this.#warnMinutely(what, `${this.#issuer.url}: ${this.#lastError}`);
  }

  #warnMinutely(kind: string, message: string): void {
    const now = performance.now();
    if (now - (this.#warned.get(kind) ?? -MINUTE) < MINUTE) return;
    this.#warned.set(kind, now);
    this.#warn(message.slice(0, 600));
  }

  /** Returns early when the verifier is closed. */
  async #sleep(milliseconds: number): Promise<void> {
    const closing = this.#closing.signal;
    if (closing.aborted || milliseconds <= 0) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(done, milliseconds);
      function done(): void {
        clearTimeout(timer);
        closing.removeEventListener("abort", done);
        resolve();
      }
      closing.addEventListener("abort", done);
    });
  }
}

/** Seconds of a monotonic clock. */
function monotonic(): number {
  return performance.now() / 1000;
}

/** A random time from half of it to all of it, so that many services do not retry at the same time. */
function jittered(milliseconds: number): number {
  return milliseconds * (0.5 + Math.random() / 2);
}

/** Milliseconds to wait after this many failures in a row. */
function backoff(failures: number): number {
  return jittered(Math.min(10_000, 100 * 2 ** Math.min(failures, 7)));
}
