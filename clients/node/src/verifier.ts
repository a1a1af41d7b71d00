import { Checker, type Claims } from "./checker.js";
import { atMost, Fetcher, WAIT } from "./fetcher.js";
import { Deadline, FetchError, Issuer, pieces, text } from "./http.js";
import { Refused } from "./refused.js";

const JWKS = "/.well-known/jwks.json";
const FEED = "/.well-known/revocations";
const STREAM = "/.well-known/revocations/stream";
const MAX_KEY_SET = 256 << 10;
const MAX_STATEMENT = 4 << 20;

// Milliseconds. How long fetching may take.
const PATIENCE = 5000;
// Without an event of the stream for so long, more than a heartbeat, the statement is fetched.
const SILENCE = 7000;
// Between two statements while there is no stream, and how long to do without one before it is tried again.
const POLL = 1000;
const WITHOUT_STREAM = 30_000;
// Between two fetches of the key set that the feed asks for.
const FEED_REFRESH = 250;
// How old the key set may become if its Cache-Control says nothing.
const USUAL_AGE = 300_000;
// Between two warnings of one kind.
const MINUTE = 60_000;
// Seconds: from which difference on clocks are spoken of.
const NOTABLE_DIFFERENCE = 10;

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
  /** Whether too little was heard for too long, so that `whenStale` applies. */
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
  readonly #warned = new Map<string, number>();
  readonly #closing = new AbortController();
  readonly #keys = new Fetcher((isAsked) => this.#fetchKeys(isAsked));
  readonly #statements = new Fetcher((isAsked) => this.#fetchStatement(isAsked));
  readonly #ready: Promise<void>;
  #becomeReady: () => void = () => {};
  #isReady = false;
  readonly #began = performance.now();
  #wasStale = false;
  #etag: string | undefined;
  /** What went wrong last, for whoever waits in vain. */
  #trouble = "";
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
   * The claims of an access token that counts now; not to be changed. Throws {@link Refused}.
   *
   * If the token names a key that is not known, the key set is fetched again, at most once in each `refreshInterval`; and before every
   * token is refused because the feed is silent, its statement is fetched. No token waits for longer than two seconds.
   */
  async verify(token: string): Promise<Claims> {
    const end = performance.now() + WAIT;
    if (!this.#isReady) await atMost(this.#began + WAIT - performance.now(), this.#ready);
    let claims: Claims;
    try {
      claims = await this.checker.verify(token, this.#clock());
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      this.#explain(error);
      if (!["unknown_key", "no_keys"].includes(error.code)) throw error;
      await this.#keys.ask(this.#refreshInterval, end - performance.now());
      claims = await this.checker.verify(token, this.#clock());
    }
    if (!this.#accepts && this.#isStale()) {
      await this.#statements.ask(POLL, end - performance.now());
      // It may have revoked this very token.
      claims = await this.checker.verify(token, this.#clock());
    }
    const isStale = this.#isStale();
    if (isStale && !this.#wasStale) this.#warn(`nothing is heard from the revocation feed of ${this.#issuer.url}`);
    this.#wasStale = isStale;
    if (isStale && !this.#accepts) throw new Refused("unavailable", "stale");
    return claims;
  }

  /**
   * Waits until the keys and a first statement have come; false, and a warning that says what to do, if they do not within `timeout`
   * milliseconds.
   */
  async ready(timeout: number = 5000): Promise<boolean> {
    await atMost(timeout, this.#ready);
    if (!this.#isReady) {
      this.#warn(
        `${this.#issuer.url} was not heard within ${timeout / 1000} s${this.#trouble && ` (${this.#trouble})`}. hint: see that it runs ` +
          "and can be reached from here; where it has another name here, pass that as `address`",
      );
    }
    return this.#isReady;
  }

  /** What is known of the issuer at this moment. */
  status(): Status {
    const heardSecsAgo = this.checker.silence(this.#clock(), steady());
    return { hasKeys: this.checker.hasKeys, heardSecsAgo, isStale: this.#isStale() };
  }

  /** Stops following. What was heard still counts, until it is stale. */
  close(): void {
    this.#closing.abort();
    this.#keys.stop();
    this.#statements.stop();
  }

  #isStale(): boolean {
    return this.checker.isStale(this.#staleLimit, this.#clock(), steady());
  }

  /** What is wrong with the configuration rather than with one token is warned of. */
  #explain(refused: Refused): void {
    if (["wrong_audience", "wrong_issuer", "issued_in_future", "unsafe_id"].includes(refused.code)) {
      this.#warnMinutely(refused.code, `tokens are refused: ${refused.detail}`);
    } else if (["expired", "not_yet_valid"].includes(refused.code)) {
      const difference = Math.abs(this.checker.clockDifference() ?? 0);
      if (difference <= NOTABLE_DIFFERENCE) return;
      this.#warnMinutely(refused.code, `tokens are refused as ${refused.code}: clocks differ by about ${difference.toFixed(0)} s`);
    }
  }

  /** Past every cache, if somebody asked: they know of something that the set of before does not have. */
  async #fetchKeys(isAsked: boolean): Promise<number> {
    const deadline = new Deadline(PATIENCE, this.#closing.signal);
    try {
      const answer = await this.#issuer.get(JWKS, ["application/jwk-set+json", "application/json"], deadline, isAsked);
      await this.checker.setKeys(JSON.parse(await text(answer, MAX_KEY_SET, deadline)));
      this.#failures.keys = 0;
      this.#announce();
      const found = /max-age=(\d{1,9})/.exec(answer.headers.get("cache-control") ?? "");
      const maxAge = found ? Number(found[1]) * 1000 : USUAL_AGE;
      return jittered(Math.min(Math.max(maxAge, 10_000), 3_600_000));
    } catch (error) {
      this.#complain("the key set was not fetched", error);
      this.#failures.keys += 1;
      return backoff(this.#failures.keys);
    } finally {
      deadline.clear();
    }
  }

  async #fetchStatement(isAsked: boolean): Promise<number> {
    const deadline = new Deadline(PATIENCE, this.#closing.signal);
    try {
      const answer = await this.#issuer.get(FEED, ["application/jwt"], deadline, isAsked, this.#etag);
      if (answer.status === 200) {
        await this.#hear(await text(answer, MAX_STATEMENT, deadline));
        this.#etag = answer.headers.get("etag") ?? undefined;
      }
      this.#failures.statements = 0;
      return POLL;
    } catch (error) {
      this.#complain("the revocations were not fetched", error);
      this.#failures.statements += 1;
      return Math.max(POLL, backoff(this.#failures.statements));
    } finally {
      deadline.clear();
    }
  }

  async #followStream(): Promise<void> {
    while (!this.#closing.signal.aborted) {
      let hasHeard = false;
      let wait = 0;
      try {
        hasHeard = await this.#stream();
      } catch (error) {
        this.#complain("the stream of revocations ended", error);
        if (error instanceof FetchError && error.status !== undefined) wait = jittered(WITHOUT_STREAM);
      }
      this.#failures.streams = hasHeard ? 0 : this.#failures.streams + 1;
      await this.#sleep(Math.max(wait, backoff(this.#failures.streams)));
    }
  }

  /** Listens until the stream ends, which it does now and then; whether something came. */
  async #stream(): Promise<boolean> {
    const deadline = new Deadline(SILENCE, this.#closing.signal);
    let status: number | undefined;
    let hasHeard = false;
    try {
      const answer = await this.#issuer.get(STREAM, ["text/event-stream"], deadline);
      status = answer.status;
      let rest = "";
      let data = "";
      for await (const piece of pieces(answer, deadline)) {
        const lines = (rest + piece).split("\n");
        rest = lines.pop() ?? "";
        if (rest.length + data.length > MAX_STATEMENT) throw new FetchError("an event of the stream is too long");
        for (const line of lines.map((line) => line.replace(/\r$/, ""))) {
          if (line.startsWith("data:")) data = line.slice(5).trim();
          if (line !== "" || data === "") continue;
          await this.#hear(data);
          this.#statements.putOff(SILENCE);
          data = "";
          hasHeard = true;
          deadline.restart();
        }
      }
      return hasHeard;
    } catch (error) {
      if (!deadline.isLate) throw error;
      throw new FetchError("nothing comes through the stream", hasHeard ? undefined : status);
    } finally {
      deadline.clear();
    }
  }

  /** Takes a statement; fetches the keys first if it is signed by a new one, and afterwards if it revokes one. */
  async #hear(statement: string): Promise<void> {
    let revokesKey: boolean;
    try {
      revokesKey = await this.checker.hear(statement, this.#clock(), steady());
    } catch (error) {
      if (!(error instanceof Refused) || !["unknown_key", "no_keys"].includes(error.code)) throw error;
      await this.#sleep(this.#keys.rest(FEED_REFRESH));
      await this.#keys.ask(FEED_REFRESH);
      revokesKey = await this.checker.hear(statement, this.#clock(), steady());
    }
    this.#announce();
    if (revokesKey) {
      this.#warn(`a key of ${this.#issuer.url} was revoked`);
      void this.#keys.ask(FEED_REFRESH);
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

  #announce(): void {
    if (this.#isReady || !this.checker.hasKeys || this.checker.clockDifference() === undefined) return;
    this.#isReady = true;
    this.#becomeReady();
  }

  #complain(what: string, error: unknown): void {
    if (this.#closing.signal.aborted) return;
    const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
    const detail = error instanceof Refused && error.detail !== undefined ? `, ${error.detail}` : "";
    this.#trouble = `${what}: ${cause instanceof Error ? cause.message || cause.name : String(cause)}${detail}`;
    this.#warnMinutely(what, `${this.#issuer.url}: ${this.#trouble}`);
  }

  #warnMinutely(kind: string, message: string): void {
    const now = performance.now();
    if (now - (this.#warned.get(kind) ?? -MINUTE) < MINUTE) return;
    this.#warned.set(kind, now);
    this.#warn(message.slice(0, 600));
  }

  /** Wakes up early when the verifier is closed. */
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

/** Seconds of a clock that nobody sets. */
function steady(): number {
  return performance.now() / 1000;
}

/** Between half of it and all of it, so that many services do not come back at once. */
function jittered(milliseconds: number): number {
  return milliseconds * (0.5 + Math.random() / 2);
}

/** How long to wait after so many failures in a row. */
function backoff(failures: number): number {
  return jittered(Math.min(10_000, 100 * 2 ** Math.min(failures, 7)));
}
