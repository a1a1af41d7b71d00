/** How many milliseconds anybody waits for a fetch at most. */
export const WAIT = 2000;

/** Resolves after so many milliseconds, or with `promise`, whichever is first. */
export async function atMost(milliseconds: number, promise: Promise<unknown>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<void>((resolve) => (timer = setTimeout(resolve, Math.max(0, milliseconds))));
  await Promise.race([promise, late]);
  clearTimeout(timer);
}

/**
 * Something that is fetched from time to time, and when somebody cannot do without; one fetch at a time, whoever asks.
 *
 * `fetch` is told whether somebody asked, and gives the milliseconds until the next routine fetch. It must not throw.
 */
export class Fetcher {
  readonly #fetch: (isAsked: boolean) => Promise<number>;
  /** The fetch that is under way; and the one that those who ask share, which is that or the next: asked for, or the first. */
  #running: Promise<void> | undefined;
  #shared: Promise<void> | undefined;
  #began = 0;
  #answered = -Infinity;
  #due = -Infinity;
  #timer: NodeJS.Timeout | undefined;
  #isStopped = false;

  constructor(fetch: (isAsked: boolean) => Promise<number>) {
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
   * Has it fetched, unless somebody had that less than `interval` milliseconds ago, and waits for the end at most `wait` milliseconds.
   * Those who ask meanwhile share the fetch; nobody waits for one that has taken too long already.
   */
  async ask(interval: number, wait: number = WAIT): Promise<void> {
    if (this.#isStopped) return;
    const now = performance.now();
    if (this.#shared === undefined) {
      if (now - this.#answered < interval) return;
      // A routine fetch may have begun before there was anything to be learned.
      this.#share(this.#running?.then(() => this.#run(true)) ?? this.#run(true));
    }
    if (this.#running !== undefined) wait = Math.min(wait, this.#began + WAIT - now);
    await atMost(wait, this.#shared ?? Promise.resolve());
  }

  /** How many milliseconds are left of `interval` since the last fetch that was asked for. */
  rest(interval: number): number {
    return Math.max(0, this.#answered + interval - performance.now());
  }

  /** The next routine fetch is not due before so many milliseconds. */
  putOff(milliseconds: number): void {
    this.#due = Math.max(this.#due, performance.now() + milliseconds);
  }

  #share(fetch: Promise<void>): void {
    this.#shared = fetch.then(() => (this.#shared = undefined));
  }

  #run(isAsked: boolean): Promise<void> {
    this.#began = performance.now();
    this.#running = this.#fetch(isAsked).then((milliseconds) => {
      this.#running = undefined;
      if (isAsked) this.#answered = performance.now();
      this.putOff(milliseconds);
      this.#schedule();
    });
    return this.#running;
  }

  #schedule(): void {
    clearTimeout(this.#timer);
    if (this.#isStopped) return;
    this.#timer = setTimeout(() => {
      if (this.#running !== undefined) return;
      if (performance.now() < this.#due) this.#schedule();
      else void this.#run(false);
    }, Math.max(0, this.#due - performance.now()));
  }
}
