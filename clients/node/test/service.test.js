// The verifier beside a running service.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { Verifier } from "../dist/index.js";
import { call, logIn, logOut, PASSWORD, register, URL_OF_SERVICE as URL } from "./service.js";

const ROUNDS = process.env.DOORWARDEN_DRILL === "full" ? 1000 : 20;
let user, verifier;

before(async () => {
  user = await register();
  verifier = new Verifier(URL);
});
after(() => verifier.close());

test("a login is verified", async () => {
  const claims = await verifier.verify((await logIn(user.email)).access);
  assert.deepEqual([claims.id, claims.sub, claims.iss], [user.id, String(user.id), URL]);
  const { hasKeys, silenceSecs, isStale } = verifier.status();
  assert.ok(hasKeys && !isStale && silenceSecs < 10);
});

test("logouts are heard of within a second", async (t) => {
  const delays = [];
  const isRefused = (token) => verifier.verify(token).then(() => false, (error) => error.kind === "revoked");
  for (let round = 0; round < ROUNDS; round += 1) {
    const pair = await logIn(user.email);
    await verifier.verify(pair.access);
    await logOut(pair);
    const answered = performance.now();
    while (!(await isRefused(pair.access))) {
      assert.ok(performance.now() - answered < 1000, `after ${round} rounds`);
      await sleep(1);
    }
    delays.push(performance.now() - answered);
  }
  delays.sort((a, b) => a - b);
  const at = (share) => delays[Math.floor((delays.length - 1) * share)].toFixed(0);
  t.diagnostic(`${ROUNDS} logouts were heard of after ${at(0.5)} ms (median), ${at(0.99)} ms (p99), ${at(1)} ms (most)`);
});

test("the other tokens of the service are no access tokens", async () => {
  const session = await call("/login", { email: user.email, password: PASSWORD });
  const statement = await (await fetch(`${URL}/.well-known/revocations`)).text();
  for (const token of [session.token, (await logIn(user.email)).refresh, statement]) {
    await assert.rejects(verifier.verify(token), { kind: "invalid" });
  }
});

test("a token for somebody else is refused", async () => {
  const other = new Verifier(URL, { audience: "https://other.example" });
  await assert.rejects(other.verify((await logIn(user.email)).access), { code: "wrong_audience" });
  other.close();
});

test("silence is told and handled as chosen", async () => {
  const { access } = await logIn(user.email);
  for (const whenStale of ["refuse", "accept"]) {
    let ahead = 0;
    const warnings = [];
    const one = new Verifier(URL, {
      staleLimit: 10,
      whenStale,
      clock: () => Date.now() / 1000 + ahead,
      warn: (message) => warnings.push(message),
    });
    await one.verify(access);
    one.close();
    ahead = 11;
    if (whenStale === "refuse") await assert.rejects(one.verify(access), { status: 503, code: "stale" });
    else await one.verify(access);
    assert.ok(one.status().isStale);
    assert.deepEqual(warnings, [`the revocation feed of ${URL} is stale`]);
  }
});

test("unknown keys are one fetch for each interval", async (t) => {
  const one = new Verifier(URL, { refreshInterval: 0.3 });
  assert.ok(await one.ready());
  const fetched = t.mock.method(globalThis, "fetch");
  const [, claims, signature] = (await logIn(user.email)).access.split(".");
  const header = Buffer.from('{"alg":"EdDSA","kid":"none","typ":"at+jwt"}').toString("base64url");
  const before = fetched.mock.callCount();
  const end = performance.now() + 1000;
  while (performance.now() < end) {
    const flood = Array.from({ length: 20 }, () => one.verify(`${header}.${claims}.${signature}`));
    for (const { reason } of await Promise.allSettled(flood)) assert.equal(reason.code, "unknown_key");
  }
  const count = fetched.mock.callCount() - before;
  assert.ok(count >= 1 && count <= 5, `${count} fetches`);
  one.close();
});

test("an issuer that is not there is nobody's fault but its own", async () => {
  const one = new Verifier(URL, { address: "http://127.0.0.1:9", warn: () => {} });
  assert.equal(await one.ready(300), false);
  one.close();
  await assert.rejects(one.verify((await logIn(user.email)).access), { status: 503, code: "no_keys" });
});

test("the issuer is reached by TLS or on this machine", () => {
  for (const address of ["http://id.example", "ftp://id.example", "id.example", "https://a@id.example"]) {
    assert.throws(() => new Verifier(address), TypeError, address);
  }
  new Verifier("http://id.example", { allowHttp: true, warn: () => {} }).close();
});
