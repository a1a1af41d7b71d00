// An issuer under the control of a test: its keys, its statements, its faults.
import { once } from "node:events";
import { createServer } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import { exportJWK, generateKeyPair, SignJWT } from "jose";

export const JWKS = "/.well-known/jwks.json";
export const FEED = "/.well-known/revocations";
export const STREAM = "/.well-known/revocations/stream";

/**
 * `faults` holds any of: "hang" and "hang keys" (accepts and never answers), "no stream" (404), "buffered" (the stream says nothing but
 * comments), "broken stream" (it ends what is open), "no feed" (500).
 */
export class Issuer {
  faults;
  keys = new Map();
  signs = "k";
  ahead = 0;
  says = {};
  /** Path and header fields of each request. */
  requests = [];
  #server = createServer((request, response) => void this.#answer(request, response));
  #changes = 0;

  static async start(...faults) {
    const issuer = new Issuer();
    issuer.faults = new Set(faults);
    issuer.keys.set("k", await generateKeyPair("EdDSA"));
    issuer.#server.listen(0, "127.0.0.1");
    await once(issuer.#server, "listening");
    issuer.url = `http://127.0.0.1:${issuer.#server.address().port}`;
    return issuer;
  }

  close() {
    this.#server.close();
    this.#server.closeAllConnections();
  }

  setFaults(...faults) {
    this.faults = new Set(faults);
    this.#changes += 1;
  }

  revoke(says) {
    this.says = says;
    this.#changes += 1;
  }

  count(path) {
    return this.requests.filter(([asked]) => asked === path).length;
  }

  sign(claims, typ, kid) {
    const { privateKey } = this.keys.get(kid) ?? this.keys.get("k");
    return new SignJWT({ iss: this.url, ...claims }).setProtectedHeader({ alg: "EdDSA", kid, typ }).sign(privateKey);
  }

  token(changes = {}, kid = this.signs) {
    const now = Math.floor(Date.now() / 1000);
    const claims = { sub: "7", aud: this.url, exp: now + 300, iat: now, jti: "a", client_id: "web", ...changes };
    return this.sign(claims, "at+jwt", kid);
  }

  statement() {
    const now = Math.floor(Date.now() / 1000) + this.ahead;
    const claims = { iat: now, exp: now + 30, window: 375, sessions: [], users: [], keys: [], ...this.says };
    return this.sign(claims, "revocations.v2+jwt", this.signs);
  }

  async #answer({ url, headers }, response) {
    this.requests.push([url, headers]);
    const send = (status, type, text) => response.writeHead(status, { "Content-Type": type }).end(text);
    if (this.faults.has("hang") || (this.faults.has("hang keys") && url === JWKS)) return;
    if (url === JWKS) {
      const keys = [];
      for (const [kid, { publicKey }] of this.keys) keys.push({ ...(await exportJWK(publicKey)), kid, alg: "EdDSA", use: "sig" });
      send(200, "application/json", JSON.stringify({ keys }));
    } else if (this.faults.has("no feed")) send(500, "text/plain", "");
    else if (url === FEED) send(200, "application/jwt", await this.statement());
    else if (this.faults.has("no stream")) send(404, "text/plain", "");
    else await this.#stream(response);
  }

  async #stream(response) {
    response.writeHead(200, { "Content-Type": "text/event-stream" });
    while (!response.closed && !this.faults.has("broken stream") && !this.faults.has("no feed")) {
      const isBuffered = this.faults.has("buffered");
      const changes = this.#changes;
      response.write(isBuffered ? ": still here\n\n" : `data: ${await this.statement()}\n\n`);
      const end = performance.now() + (isBuffered ? 1000 : 5000);
      while (!response.closed && changes === this.#changes && performance.now() < end) await sleep(5);
    }
    response.end();
  }
}
