// The verifier beside an issuer that misbehaves, and with clocks that do.
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { Verifier } from "../dist/index.js";
import { FEED, Issuer, JWKS, STREAM } from "./issuer.js";

const SID = "00000000-0000-4000-8000-000000000001";
setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc");

/** An issuer, a verifier of it and its warnings, all ended with the test. */
async function start(t, faults = [], options = {}) {
  const issuer = await Issuer.start(...faults);
  const warnings = [];
  const verifier = new Verifier(issuer.url, { warn: (message) => warnings.push(message), ...options });
  t.after(() => {
    verifier.close();
    issuer.close();
  });
  return { issuer, verifier, warnings };
}

async function until(holds, milliseconds = 5000) {
  const end = performance.now() + milliseconds;
  while (!(await holds())) {
    assert.ok(performance.now() < end, "it did not happen in time");
    await sleep(10);
  }
}

async function timed(promise) {
  const begin = performance.now();
  const [{ reason }] = await Promise.allSettled([promise]);
  return { took: performance.now() - begin, code: reason?.code };
}

const isRevoked = (verifier, token) => verifier.verify(token).then(() => false, (error) => error.kind === "revoked");
const seconds = () => Math.floor(Date.now() / 1000);

test("unknown keys are asked for past every cache", async (t) => {
  const { issuer, verifier } = await start(t, [], { refreshInterval: 0 });
  assert.ok(await verifier.ready());
  assert.ok(issuer.requests.every(([, headers]) => headers["cache-control"] !== "no-cache"));
  issuer.keys.set("new", issuer.keys.get("k"));
  await verifier.verify(await issuer.token({}, "new"));
  const [path, headers] = issuer.requests.at(-1);
  assert.deepEqual([path, headers["cache-control"]], [JWKS, "no-cache"]);
});

test("waiters share one fetch, none waits for longer than two seconds, and no fetch is forgotten", async (t) => {
  const { issuer, verifier } = await start(t, [], { refreshInterval: 0 });
  assert.ok(await verifier.ready());
  const [good, unknown, before] = [await issuer.token(), await issuer.token({}, "unknown"), issuer.count(JWKS)];
  issuer.setFaults("hang keys");
  let isOver = false;
  const waiters = Promise.all(Array.from({ length: 8 }, () => timed(verifier.verify(unknown)))).finally(() => (isOver = true));
  while (!isOver) {
    await verifier.verify(good);
    collect();
    await sleep(50);
  }
  for (const { took, code } of await waiters) assert.ok(took > 1000 && took < 4500 && code === "unknown_key", `${took} ${code}`);
  assert.equal(issuer.count(JWKS), before + 1);
  // The fetch has taken too long already; nobody waits for it any more.
  assert.ok((await timed(verifier.verify(unknown))).took < 1900);
  // And it ends, though the garbage was collected meanwhile: the next one that is asked for is made.
  issuer.setFaults();
  issuer.keys.set("unknown", issuer.keys.get("k"));
  await until(async () => {
    collect();
    return (await timed(verifier.verify(unknown))).code === undefined;
  }, 10_000);
});

test("an issuer that never answers is given up, whatever is collected", async (t) => {
  const { issuer, verifier } = await start(t, ["hang"]);
  const end = performance.now() + 15_000;
  await until(() => {
    collect();
    return issuer.count(JWKS) > 1 && issuer.count(FEED) > 1 && issuer.count(STREAM) > 1;
  }, 20_000);
  assert.ok(performance.now() < end);
  const { took, code } = await timed(verifier.verify(await issuer.token()));
  assert.ok(took < 4500 && code === "no_keys", `${took} ${code}`);
});

test("a stream that says nothing is given up, whatever is collected", async (t) => {
  const { issuer, verifier } = await start(t);
  assert.ok(await verifier.ready());
  await until(() => issuer.count(STREAM) === 1);
  const token = await issuer.token({ sid: SID });
  await verifier.verify(token);
  issuer.setFaults("buffered");
  issuer.says = { sessions: [[SID, seconds()]] };
  await until(() => {
    collect();
    return isRevoked(verifier, token);
  }, 12_000);
});

test("the feed is heard while the keys hang", async (t) => {
  const { issuer, verifier } = await start(t, [], { refreshInterval: 0 });
  const token = await issuer.token({ sid: SID });
  await verifier.verify(token);
  issuer.setFaults("hang keys");
  const waiter = timed(verifier.verify(await issuer.token({}, "unknown")));
  issuer.revoke({ sessions: [[SID, seconds()]] });
  await until(() => isRevoked(verifier, token), 4000);
  assert.equal((await waiter).code, "unknown_key");
});

test("a silent feed is asked once before anything is refused", async (t) => {
  let ahead = 0;
  // Without a stream, being ready means that the first fetch has ended: no later one shares it.
  const { issuer, verifier } = await start(t, ["no stream"], { clock: () => Date.now() / 1000 + ahead });
  const [token, ended] = [await issuer.token(), await issuer.token({ sid: SID })];
  await verifier.verify(ended);
  // As if it had been stopped for 45 seconds: the clock goes on, and nothing was heard.
  ahead = issuer.ahead = 45;
  issuer.says = { sessions: [[SID, seconds()]] };
  await verifier.verify(token);
  assert.ok(await isRevoked(verifier, ended));
});

test("when it does not answer the refusal comes within two seconds", async (t) => {
  let ahead = 0;
  const { issuer, verifier } = await start(t, [], { clock: () => Date.now() / 1000 + ahead });
  const token = await issuer.token();
  await verifier.verify(token);
  issuer.setFaults("hang", "broken stream");
  ahead = 45;
  const { took, code } = await timed(verifier.verify(token));
  assert.ok(took < 4500 && code === "stale", `${took} ${code}`);
  issuer.ahead = 45;
  issuer.setFaults();
  await until(() => !verifier.status().isStale, 15_000);
  await verifier.verify(token);
});

test("where the stream is held back the statement is fetched", async (t) => {
  const { issuer, verifier } = await start(t, ["buffered"]);
  const token = await issuer.token({ sid: SID });
  assert.ok((await timed(verifier.verify(token))).took < 5000);
  issuer.revoke({ sessions: [[SID, seconds()]] });
  await until(() => isRevoked(verifier, token), 5000);
});

test("with a stream nothing is polled", async (t) => {
  const { issuer, verifier } = await start(t);
  assert.ok(await verifier.ready());
  await until(() => issuer.count(STREAM) === 1);
  await sleep(2500);
  assert.ok(issuer.count(FEED) <= 2);
});

test("who waits in vain is told what to do", async (t) => {
  const { verifier, warnings } = await start(t, ["hang"]);
  assert.equal(await verifier.ready(100), false);
  assert.match(warnings.at(-1), /no keys and revocations from .* within 0\.1 s.*hint: /);
});

test("a clock that is set back hides no silence", async (t) => {
  let ahead = 0;
  const { issuer, verifier } = await start(t, [], { staleLimit: 1, clock: () => Date.now() / 1000 + ahead });
  const token = await issuer.token();
  await verifier.verify(token);
  verifier.close();
  ahead = -3600;
  await until(() => verifier.status().isStale);
  assert.ok(verifier.status().silenceSecs > 1);
  // A token is not accepted for an hour longer because it was seen before, either.
  await assert.rejects(verifier.verify(token), { code: "issued_in_future" });
});

test("a statement that comes late is as old as it is", async (t) => {
  const { issuer, verifier } = await start(t, ["no feed"]);
  issuer.ahead = -85;
  issuer.setFaults();
  assert.ok(await verifier.ready());
  assert.equal(verifier.status().isStale, false);
  const now = Date.now() / 1000;
  assert.equal(verifier.checker.isStale(30, now + 3), false);
  assert.equal(verifier.checker.isStale(30, now + 7), true);
});

test("what is wrong with the configuration is warned of once a minute", async (t) => {
  const { issuer, verifier, warnings } = await start(t, [], { audience: "https://api.example" });
  assert.ok(await verifier.ready());
  for (const [changes, said] of [
    [{ aud: ["https://other.example"] }, /expected the audience "https:\/\/api.example", got \["https:\/\/other.example"\]/],
    [{ iss: "https://id.example" }, /expected the issuer "http:\/\/127.0.0.1:\d+", got "https:\/\/id.example"/],
    [{ iat: seconds() + 100 }, /clocks differ by/],
  ]) {
    warnings.length = 0;
    for (let n = 0; n < 3; n += 1) {
      await assert.rejects(verifier.verify(await issuer.token({ aud: "https://api.example", ...changes })), { kind: "invalid" });
    }
    assert.equal(warnings.length, 1);
    assert.match(warnings[0], said);
  }
});

test("an issuer of another name is warned of", async (t) => {
  const { issuer } = await start(t);
  const warnings = [];
  const verifier = new Verifier("https://id.example", { address: issuer.url, warn: (message) => warnings.push(message) });
  t.after(() => verifier.close());
  assert.equal(await verifier.ready(700), false);
  const said = `expected the issuer "https://id.example", got "${issuer.url}"`;
  assert.ok(warnings[0].includes(said) && warnings.at(-1).includes(said), warnings.join("\n"));
});

test("clocks that differ are warned of", async (t) => {
  for (const [ahead, said] of [
    [40, /clocks differ by about (39|40) s: this machine is behind/],
    [-40, /clocks differ by about 4\d s: this machine is ahead of/],
    [100, /clocks differ by (99|100) s/],
  ]) {
    const { issuer, verifier, warnings } = await start(t, ["no feed"]);
    issuer.ahead = ahead;
    issuer.setFaults();
    await verifier.ready(3000);
    await until(() => warnings.some((warning) => said.test(warning)));
  }
});
