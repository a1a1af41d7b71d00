/** Something was not fetched. `status` is that of the answer, if there was one of an unexpected kind. */
export class FetchError extends Error {
  constructor(
    message: string,
    readonly status?: number,
  ) {
    super(message);
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

  /** The answer, if it is 200 and of one of these media types, or 304. */
  async get(path: string, accept: string[], signal: AbortSignal, etag?: string): Promise<Response> {
    const headers = { Accept: accept.join(", "), ...(etag === undefined ? {} : { "If-None-Match": etag }) };
    const answer = await fetch(this.url + path, { headers, redirect: "manual", signal });
    if (answer.status === 304 && etag !== undefined) return answer;
    const mediaType = answer.headers.get("content-type")?.split(";")[0]?.trim().toLowerCase() ?? "";
    if (answer.status === 200 && accept.includes(mediaType)) return answer;
    await answer.body?.cancel();
    throw new FetchError(`the answer was ${answer.status} ${mediaType}`, answer.status);
  }
}

/** The body as text, piece by piece. */
export async function* pieces(answer: Response): AsyncGenerator<string> {
  if (answer.body === null) return;
  yield* answer.body.pipeThrough(new TextDecoderStream());
}

/** The whole body. */
export async function text(answer: Response, limit: number): Promise<string> {
  let whole = "";
  for await (const piece of pieces(answer)) {
    whole += piece;
    if (whole.length > limit) throw new FetchError("the answer is too long");
  }
  return whole;
}
