// Requests to the service beside which the tests run: scripts/service.
import { setTimeout as sleep } from "node:timers/promises";

export const URL_OF_SERVICE = process.env.DOORWARDEN_TEST_URL;
export const PASSWORD = "correct horse 9";
let numbers = 0;

/** The JSON of an answer that must be a success. */
export async function call(path, body, token, patience = 20) {
  const headers = { "Content-Type": "application/json", ...(token ? { Authorization: `Bearer ${token}` } : {}) };
  const method = body === undefined ? "GET" : "POST";
  const answer = await fetch(URL_OF_SERVICE + path, { method, headers, body: body && JSON.stringify(body) });
  const text = await answer.text();
  if (answer.status === 503 && patience > 0) {
    // A busy machine hashes no password in time.
    await sleep(500);
    return call(path, body, token, patience - 1);
  }
  if (!answer.ok) throw new Error(`${path}: ${answer.status} ${text}`);
  return text === "" ? undefined : JSON.parse(text);
}

/** A new user: the address and the id. */
export async function register() {
  const username = `node${process.pid}x${numbers++}x${Date.now()}`;
  const email = `${username}@example.com`;
  const { token } = await call("/registration", { email, username, password: PASSWORD });
  return { email, id: (await call("/me", undefined, token)).id };
}

export const logIn = (email) => call("/token", { email, password: PASSWORD });
export const logOut = (pair) => call("/token/revoke", { refresh: pair.refresh });
