/** A fetch failed. `status` is that of the response, if there was an unexpected one. */
export class FetchError extends Error {
  constructor(
    message: string,
    readonly status?: number,
  ) {
    super(message);
  }
}

/**
 * Aborts an operation after a timeout, or when `closing` is aborted.
 *
 * Uses its own timer, controller and promise, which does not depend on how `fetch` treats the signal:
 * composed signals (`AbortSignal.any`) may be garbage-collected before they fire.
 */
export class Deadline {
  readonly #controller = new AbortController();
  readonly #milliseconds: number;
  readonly #closing: AbortSignal;
  readonly #closed = () => this.#end(new FetchError("the verifier was closed"));
  #timer: NodeJS.Timeout | undefined;
  #reject: (error: Error) => void = () => {};

  constructor(milliseconds: number, closing: AbortSignal) {
    this.#milliseconds = milliseconds;
    this.#closing = closing;
    closing.addEventListener("abort", this.#closed);
    if (closing.aborted) this.#closed();
    else this.restart();
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  get isLate(): boolean {
    return this.signal.aborted;
  }

  /** Starts the timeout again. */
  restart(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#end(new FetchError("timed out")), this.#milliseconds);
  }

  /** Stops the timeout: the operation is complete. */
  clear(): void {
    clearTimeout(this.#timer);
    this.#closing.removeEventListener("abort", this.#closed);
  }

  /** Resolves like `promise`, or rejects at the timeout. */
  wait<T>(promise: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      this.#reject = reject;
      promise.then(resolve, reject);
      if (this.isLate) reject(this.signal.reason);
    });
  }

  #end(error: FetchError): void {
    this.#controller.abort(error);
    this.#reject(error);
  }
}

/** A minimal HTTP client: GET from one host. Redirects are never followed. */
export class Issuer {
  readonly url: string;

  constructor(url: string, allowHttp: boolean) {
    const parsed = new URL(url);
    if (!["https:", "http:"].includes(parsed.protocol) || parsed.username || parsed.search || parsed.hash) {
      throw new TypeError("the issuer must be a URL: https://, a host, and optionally a port and a path");
    }
    if (parsed.protocol === "http:" && !allowHttp && !/^(localhost|127\.\d+\.\d+\.\d+|\[::1\])$/.test(parsed.hostname)) {
      throw new TypeError(
        "the issuer must use https, because the keys are fetched from it. hint: set allowHttp on a network that you trust",
      );
    }
    this.url = url.replace(/\/+$/, "");
  }

  /** Returns the response if it is 200 with one of these media types, or 304. `isFresh` bypasses caches. */
  async get(path: string, accept: string[], deadline: Deadline, isFresh = false, etag?: string): Promise<Response> {
    const headers: Record<string, string> = { Accept: accept.join(", ") };
    if (isFresh) headers["Cache-Control"] = "no-cache";
    if (etag !== undefined) headers["If-None-Match"] = etag;
    const response = await deadline.wait(fetch(this.url + path, { headers, redirect: "manual", signal: deadline.signal }));
    if (response.status === 304 && etag !== undefined) return response;
    const mediaType = response.headers.get("content-type")?.split(";")[0]?.trim().toLowerCase() ?? "";
    if (response.status === 200 && accept.includes(mediaType)) return response;
    void response.body?.cancel().catch(() => {});
    throw new FetchError(`the response was ${response.status} ${mediaType}`, response.status);
  }
}

/** Yields the body as text, in chunks. */
export async function* chunks(response: Response, deadline: Deadline): AsyncGenerator<string> {
  if (response.body === null) return;
  const reader = response.body.getReader();
  const decoder = new TextDecoder();
  try {
    for (;;) {
      const { done, value } = await deadline.wait(reader.read());
      if (done) return;
      yield decoder.decode(value, { stream: true });
    }
  } finally {
    void reader.cancel().catch(() => {});
  }
}

/** Returns the complete body. */
export async function text(response: Response, limit: number, deadline: Deadline): Promise<string> {
  let whole = "";
  for await (const chunk of chunks(response, deadline)) {
    whole += chunk;
    if (whole.length > limit) throw new FetchError("the response is too long");
  }
  return whole;
}
