// Express, and fetch handlers.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import express from "express";
import { express as middleware, protect, Verifier } from "../dist/index.js";
import { logIn, logOut, register, URL_OF_SERVICE as URL } from "./service.js";

const MISSING = { detail: "Authentication credentials were not provided." };
const INVALID = { detail: "Invalid authentication. Could not decode token." };
let user, pair, verifier, server, ask;

before(async () => {
  user = await register();
  pair = await logIn(user.email);
  verifier = new Verifier(URL);
  const app = express();
  app.use(middleware(verifier));
  app.get("/", (request, response) => response.json({ id: request.auth.id }));
  server = app.listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  const handler = protect(verifier, (_, claims, extra) => Response.json({ id: claims.id, ...extra }));
  const address = `http://127.0.0.1:${server.address().port}/`;
  ask = {
    express: (headers) => fetch(address, { headers }),
    fetch: (headers) => handler(new Request(address, { headers })),
  };
});
after(() => {
  verifier.close();
  server.close();
});

for (const kind of ["express", "fetch"]) {
  const asked = async (authorization) => {
    const answer = await ask[kind](authorization === undefined ? {} : { authorization });
    return [answer.status, await answer.json(), answer.headers.get("www-authenticate")];
  };

  test(`${kind}: an accepted token comes through with its claims`, async () => {
    assert.deepEqual(await asked(`bearer ${pair.access}`), [200, { id: user.id }, null]);
  });

  test(`${kind}: no token, or a wrong one, is 401`, async () => {
    for (const none of [undefined, "Basic YTpi", "Bearer", "Bearer a b"]) {
      assert.deepEqual(await asked(none), [401, MISSING, 'Bearer realm="api"']);
    }
    assert.deepEqual(await asked("Bearer a.b.c"), [401, INVALID, 'Bearer realm="api", error="invalid_token"']);
  });

  test(`${kind}: a logout is 401 within a second`, async () => {
    const gone = await logIn(user.email);
    assert.equal((await asked(`Bearer ${gone.access}`))[0], 200);
    await logOut(gone);
    const end = performance.now() + 1000;
    let status;
    while (([status] = await asked(`Bearer ${gone.access}`))[0] === 200) {
      assert.ok(performance.now() < end);
      await sleep(1);
    }
    assert.equal(status, 401);
  });
}

test("fetch: what comes beside the request is passed on, and a silent feed is 503", async () => {
  const request = new Request(URL, { headers: { authorization: `Bearer ${pair.access}` } });
  const answer = await protect(verifier, (_, claims, env) => Response.json(env))(request, { name: "env" });
  assert.deepEqual(await answer.json(), { name: "env" });
  const silent = new Verifier(URL, { staleLimit: -1, warn: () => {} });
  const refused = await protect(silent, () => assert.fail("never called"))(request);
  assert.equal(refused.status, 503);
  assert.equal(refused.headers.get("retry-after"), "5");
  silent.close();
});
