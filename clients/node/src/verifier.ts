import { Checker, type Claims } from "./checker.js";
import { FetchError, Issuer, pieces, text } from "./http.js";
import { Refused } from "./refused.js";

const JWKS = "/.well-known/jwks.json";
const FEED = "/.well-known/revocations";
const STREAM = "/.well-known/revocations/stream";
const MAX_KEY_SET = 256 << 10;
const MAX_STATEMENT = 4 << 20;

// Milliseconds. How long fetching may take, and the first tokens wait for the issuer.
const PATIENCE = 5000;
// A stream without an event for so long is dead: three heartbeats.
const SILENCE = 15_000;
// Between two statements where there is no stream, and how long to do without one before it is tried again.
const POLL = 1000;
const WITHOUT_STREAM = 30_000;
// Between two fetches of the key set that the feed asks for.
const FEED_REFRESH = 250;
// How old the key set may become if its Cache-Control says nothing.
const USUAL_AGE = 300_000;

/** What can be decided about a {@link Verifier}. */
export interface VerifierOptions {
  /** `aud` of the tokens to accept. By default the issuer. */
  audience?: string;
  /** Where the issuer is reached, if at another URL: a name inside a cluster. */
  address?: string;
  /** After how many seconds of silence `whenStale` applies. By default 30; the feed has a heartbeat every 5. */
  staleLimit?: number;
  /** What to do with tokens while the feed is silent: refuse every one (the default), or accept what is signed. */
  whenStale?: "refuse" | "accept";
  /** Seconds of leeway for `exp` and `nbf`, at most 60. By default none. */
  leeway?: number;
  /** How many verified tokens are remembered at most. By default 20,000. */
  remembered?: number;
  /** The least seconds between two fetches of the key set because of tokens that name unknown keys. By default 5. */
  refreshInterval?: number;
  /** Talk to an issuer on another machine without TLS. */
  allowHttp?: boolean;
  /** Another clock, in seconds since 1970 UTC; for tests. */
  clock?: () => number;
  /** Where warnings go. By default `console.warn`. */
  warn?: (message: string) => void;
}

/** What a verifier knows of its issuer, for health checks and metrics. */
export interface Status {
  hasKeys: boolean;
  /** How many seconds ago the newest statement came; `undefined`: none came yet. */
  heardSecsAgo: number | undefined;
  /** Whether that is longer than the limit, so that `whenStale` applies. */
  isStale: boolean;
}

/** Verifies access tokens of one issuer, and follows its revocation feed (docs/revocation-feed.md) until {@link close}. */
export class Verifier {
  readonly checker: Checker;
  readonly #issuer: Issuer;
  readonly #staleLimit: number;
  readonly #accepts: boolean;
  readonly #refreshInterval: number;
  readonly #clock: () => number;
  readonly #warn: (message: string) => void;
  readonly #closing = new AbortController();
  readonly #ready: Promise<void>;
  #isReady: () => void = () => {};
  readonly #graceEnds = performance.now() + PATIENCE;
  #hasBegun = false;
  #wasStale = false;
  #failures = 0;
  #refreshed = -Infinity;
  #refreshing: Promise<void> | undefined;
  #maxAge = USUAL_AGE;

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
    this.#ready = new Promise((resolve) => (this.#isReady = resolve));
    void this.#follow();
  }

  /**
   * The claims of an access token that counts now; not to be changed. Throws {@link Refused}.
   *
   * If the token names a key that is not known, the key set is fetched again, at most once in each `refreshInterval`.
   */
  async verify(token: string): Promise<Claims> {
    if (!this.#hasBegun) await this.ready(Math.max(0, this.#graceEnds - performance.now()));
    let claims: Claims;
    try {
      claims = await this.checker.verify(token, this.#clock());
    } catch (error) {
      if (!(error instanceof Refused) || !["unknown_key", "no_keys"].includes(error.code)) throw error;
      await this.#refreshKeys(this.#refreshInterval);
      claims = await this.checker.verify(token, this.#clock());
    }
    const isStale = this.#isStale();
    if (isStale && !this.#wasStale) this.#warn(`nothing is heard from the revocation feed of ${this.#issuer.url}`);
    this.#wasStale = isStale;
    if (isStale && !this.#accepts) throw new Refused("unavailable", "stale");
    return claims;
  }

  /** Waits until the keys and a first statement have come; false if they do not within `timeout` milliseconds. */
  async ready(timeout: number = PATIENCE): Promise<boolean> {
    const late = new AbortController();
    const came = this.#ready.then(() => true);
    const result = await Promise.race([came, this.#sleep(timeout, late.signal).then(() => this.#hasBegun)]);
    late.abort();
    return result;
  }

  /** What is known of the issuer at this moment. */
  status(): Status {
    const heardSecsAgo = this.checker.silence(this.#clock());
    return { hasKeys: this.checker.hasKeys, heardSecsAgo, isStale: this.#isStale() };
  }

  /** Stops following. What was heard still counts, until it is stale. */
  close(): void {
    this.#closing.abort();
  }

  #isStale(): boolean {
    const silence = this.checker.silence(this.#clock());
    return silence === undefined || silence > this.#staleLimit;
  }

  /** Fetches the key set, unless it was fetched within `interval`. Who asks meanwhile waits for the same answer. */
  #refreshKeys(interval: number): Promise<void> {
    if (this.#refreshing !== undefined) return this.#refreshing;
    if (performance.now() - this.#refreshed < interval) return Promise.resolve();
    this.#refreshed = performance.now();
    this.#refreshing = this.#fetchKeys().finally(() => (this.#refreshing = undefined));
    return this.#refreshing;
  }

  async #fetchKeys(): Promise<void> {
    try {
      const answer = await this.#issuer.get(JWKS, ["application/jwk-set+json", "application/json"], this.#patience());
      await this.checker.setKeys(JSON.parse(await text(answer, MAX_KEY_SET)));
      const found = /max-age=(\d{1,9})/.exec(answer.headers.get("cache-control") ?? "");
      const maxAge = found ? Number(found[1]) * 1000 : USUAL_AGE;
      this.#maxAge = jittered(Math.min(Math.max(maxAge, 10_000), 3_600_000));
    } catch (error) {
      this.#maxAge = PATIENCE;
      this.#complain("the key set was not fetched", error);
    }
  }

  async #follow(): Promise<void> {
    while (!this.#closing.signal.aborted) {
      try {
        await this.#refreshKeys(this.#maxAge);
        await this.#stream();
      } catch (error) {
        this.#complain("the stream of revocations ended", error);
        if (error instanceof FetchError && error.status !== undefined) await this.#poll();
        this.#failures += 1;
      }
      await this.#sleep(jittered(Math.min(10_000, 100 * 2 ** Math.min(this.#failures, 7))));
    }
  }

  /** Listens until the stream ends, which it does now and then. */
  async #stream(): Promise<void> {
    const silent = new AbortController();
    const fallSilent = () => silent.abort(new Error("it fell silent"));
    let timer = setTimeout(fallSilent, SILENCE);
    let hasHeard = false;
    try {
      const signal = AbortSignal.any([this.#closing.signal, silent.signal]);
      const answer = await this.#issuer.get(STREAM, ["text/event-stream"], signal);
      let rest = "";
      let data = "";
      for await (const piece of pieces(answer)) {
        const lines = (rest + piece).split("\n");
        rest = lines.pop() ?? "";
        if (rest.length + data.length > MAX_STATEMENT) throw new FetchError("an event of the stream is too long");
        for (const line of lines.map((line) => line.replace(/\r$/, ""))) {
          if (line.startsWith("data:")) data = line.slice(5).trim();
          if (line !== "" || data === "") continue;
          await this.#hear(data);
          data = "";
          hasHeard = true;
          clearTimeout(timer);
          timer = setTimeout(fallSilent, SILENCE);
          await this.#refreshKeys(this.#maxAge);
        }
      }
    } catch (error) {
      if (silent.signal.aborted && !hasHeard) throw new FetchError("nothing came through the stream", 200);
      throw error;
    } finally {
      clearTimeout(timer);
    }
  }

  /** Fetches the newest statement once a second, where streams do not come through. */
  async #poll(): Promise<void> {
    const end = performance.now() + WITHOUT_STREAM;
    let etag: string | undefined;
    try {
      while (performance.now() < end && !this.#closing.signal.aborted) {
        const answer = await this.#issuer.get(FEED, ["application/jwt"], this.#patience(), etag);
        if (answer.status === 200) {
          await this.#hear(await text(answer, MAX_STATEMENT));
          etag = answer.headers.get("etag") ?? undefined;
        }
        await this.#refreshKeys(this.#maxAge);
        await this.#sleep(POLL);
      }
    } catch (error) {
      this.#complain("the revocations were not fetched", error);
    }
  }

  /** Takes a statement; fetches the keys first if it is signed by a new one, and afterwards if it revokes one. */
  async #hear(statement: string): Promise<void> {
    let revokesKey: boolean;
    try {
      revokesKey = await this.checker.hear(statement, this.#clock());
    } catch (error) {
      if (!(error instanceof Refused) || !["unknown_key", "no_keys"].includes(error.code)) throw error;
      await this.#sleep(Math.max(0, FEED_REFRESH - (performance.now() - this.#refreshed)));
      await this.#refreshKeys(FEED_REFRESH);
      revokesKey = await this.checker.hear(statement, this.#clock());
    }
    this.#failures = 0;
    this.#hasBegun = true;
    this.#isReady();
    if (revokesKey) {
      this.#warn(`a key of ${this.#issuer.url} was revoked`);
      await this.#refreshKeys(FEED_REFRESH);
    }
  }

  #complain(what: string, error: unknown): void {
    if (this.#closing.signal.aborted) return;
    const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
    this.#warn(`${this.#issuer.url}: ${what}: ${cause instanceof Error ? cause.message : String(cause)}`);
  }

  #patience(): AbortSignal {
    return AbortSignal.any([this.#closing.signal, AbortSignal.timeout(PATIENCE)]);
  }

  /** Wakes up early when the verifier is closed, or `signal` says so. */
  async #sleep(milliseconds: number, signal?: AbortSignal): Promise<void> {
    const wake = signal === undefined ? this.#closing.signal : AbortSignal.any([this.#closing.signal, signal]);
    if (wake.aborted) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(done, milliseconds);
      function done(): void {
        clearTimeout(timer);
        wake.removeEventListener("abort", done);
        resolve();
      }
      wake.addEventListener("abort", done);
    });
  }
}

/** Between half of it and all of it, so that many services do not come back at once. */
function jittered(milliseconds: number): number {
  return milliseconds * (0.5 + Math.random() / 2);
}
