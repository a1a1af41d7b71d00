/** Something was not fetched. `status` is that of the answer, if there was one of an unexpected kind. */
export class FetchError extends Error {
  constructor(
    message: string,
    readonly status?: number,
  ) {
    super(message);
  }
}

/**
 * Ends what takes too long, or what `closing` ends.
 *
 * Own timer, own controller, and a promise that does not depend on what `fetch` makes of the signal: signals that were composed
 * of others may be collected as garbage before they fire.
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

  /** The whole time again. */
  restart(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#end(new FetchError("there was no answer in time")), this.#milliseconds);
  }

  /** What was begun is over. */
  clear(): void {
    clearTimeout(this.#timer);
    this.#closing.removeEventListener("abort", this.#closed);
  }

  /** What the promise gives, unless it is too late before. */
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

/** The little of HTTP that is needed: GET from one host. No redirect is followed, to wherever it leads. */
export class Issuer {
  readonly url: string;

  constructor(url: string, allowHttp: boolean) {
    const parsed = new URL(url);
    if (!["https:", "http:"].includes(parsed.protocol) || parsed.username || parsed.search || parsed.hash) {
      throw new TypeError("the issuer must be a URL: https://, a host, and perhaps a port and a path");
    }
    if (parsed.protocol === "http:" && !allowHttp && !/^(localhost|127\.\d+\.\d+\.\d+|\[::1\])$/.test(parsed.hostname)) {
      throw new TypeError(
        "the issuer must be reached by https, because the keys come from there. hint: allowHttp, on a network that you trust",
      );
    }
    this.url = url.replace(/\/+$/, "");
  }

  /** The answer, if it is 200 and of one of these media types, or 304. `isFresh`: no cache in between may answer by itself. */
  async get(path: string, accept: string[], deadline: Deadline, isFresh = false, etag?: string): Promise<Response> {
    const headers: Record<string, string> = { Accept: accept.join(", ") };
    if (isFresh) headers["Cache-Control"] = "no-cache";
    if (etag !== undefined) headers["If-None-Match"] = etag;
    const answer = await deadline.wait(fetch(this.url + path, { headers, redirect: "manual", signal: deadline.signal }));
    if (answer.status === 304 && etag !== undefined) return answer;
    const mediaType = answer.headers.get("content-type")?.split(";")[0]?.trim().toLowerCase() ?? "";
    if (answer.status === 200 && accept.includes(mediaType)) return answer;
    void answer.body?.cancel().catch(() => {});
    throw new FetchError(`the answer was ${answer.status} ${mediaType}`, answer.status);
  }
}

/** The body as text, piece by piece. */
export async function* pieces(answer: Response, deadline: Deadline): AsyncGenerator<string> {
  if (answer.body === null) return;
  const reader = answer.body.getReader();
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

/** The whole body. */
export async function text(answer: Response, limit: number, deadline: Deadline): Promise<string> {
  let whole = "";
  for await (const piece of pieces(answer, deadline)) {
    whole += piece;
    if (whole.length > limit) throw new FetchError("the answer is too long");
  }
  return whole;
}
