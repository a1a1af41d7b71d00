/** Maximum time that a caller waits for a fetch, in milliseconds. */
export const WAIT = 2000;

/** Resolves when `promise` does, or after the given time. */
export async function atMost(milliseconds: number, promise: Promise<unknown>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<void>((resolve) => (timer = setTimeout(resolve, Math.max(0, milliseconds))));
  await Promise.race([promise, late]);
  clearTimeout(timer);
}

/**
 * Fetches something periodically and on demand, one fetch at a time.
 *
 * `fetch` gets whether the fetch is on demand, and returns the milliseconds until the next periodic fetch. It
 * must not throw.
 */
export class Fetcher {
  readonly #fetch: (onDemand: boolean) => Promise<number>;
  /**
   * The fetch in progress; and the one that callers share, which is that one or the next: the first fetch, or
   * one on demand.
   */
  #running: Promise<void> | undefined;
  #shared: Promise<void> | undefined;
  #started = 0;
  #lastOnDemand = -Infinity;
  #nextAt = -Infinity;
  #timer: NodeJS.Timeout | undefined;
  #isStopped = false;

  constructor(fetch: (onDemand: boolean) => Promise<number>) {
    this.#fetch = fetch;
  }

  start(): void {
    this.#share(this.#run(false));
  }

  stop(): void {
    this.#isStopped = true;
    clearTimeout(this.#timer);
  }

  /**
   * Fetches on demand, unless the last such fetch ended less than `interval` milliseconds ago, and waits at
   * most `wait` milliseconds for it to end. Concurrent callers share the fetch; none waits for one that has
   * already taken too long.
   */
  async request(interval: number, wait: number = WAIT): Promise<void> {
    if (this.#isStopped) return;
    const now = performance.now();
    if (this.#shared === undefined) {
      if (now - this.#lastOnDemand < interval) return;
      // A periodic fetch may have started before the change that the caller needs.
      this.#share(this.#running?.then(() => this.#run(true)) ?? this.#run(true));
    }
    if (this.#running !== undefined) wait = Math.min(wait, this.#started + WAIT - now);
    await atMost(wait, this.#shared ?? Promise.resolve());
  }

  /** Returns the milliseconds left of `interval` since the last fetch on demand. */
  remaining(interval: number): number {
    return Math.max(0, this.#lastOnDemand + interval - performance.now());
  }

  /** Postpones the next periodic fetch by at least the given time. */
  postpone(milliseconds: number): void {
    this.#nextAt = Math.max(this.#nextAt, performance.now() + milliseconds);
  }

  #share(fetch: Promise<void>): void {
    this.#shared = fetch.then(() => (this.#shared = undefined));
  }

  #run(onDemand: boolean): Promise<void> {
    this.#started = performance.now();
    this.#running = this.#fetch(onDemand).then((milliseconds) => {
      this.#running = undefined;
      if (onDemand) this.#lastOnDemand = performance.now();
      this.postpone(milliseconds);
      this.#schedule();
    });
    return this.#running;
  }

  #schedule(): void {
    clearTimeout(this.#timer);
    if (this.#isStopped) return;
    this.#timer = setTimeout(() => {
      if (this.#running !== undefined) return;
      if (performance.now() < this.#nextAt) this.#schedule();
      else void this.#run(false);
    }, Math.max(0, this.#nextAt - performance.now()));
  }
}
