// The published test vectors of the revocation feed (docs/vectors).
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { Checker } from "../dist/index.js";

const path = new URL("../../../docs/vectors/revocation-feed.json", import.meta.url);
const { issuer, audience, now, jwks, statements, tokens } = JSON.parse(readFileSync(path, "utf8"));

async function checker() {
  const checker = new Checker(issuer, audience);
  await checker.setKeys(jwks);
  return checker;
}

for (const { name, signed, refused } of statements) {
  test(`statement: ${name}`, async () => {
    const one = await checker();
    if (refused === undefined) await one.hear(signed, now);
    else await assert.rejects(one.hear(signed, now), { code: refused });
    assert.equal(one.silence(now), refused === undefined ? 0 : undefined);
  });
}

for (const { name, token, counts } of tokens.cases) {
  test(`token: ${name}`, async () => {
    const one = await checker();
    assert.equal(await one.hear(statements.find((statement) => statement.name === tokens.statement).signed, now), true);
    if (counts) assert.equal((await one.verify(token, now)).iss, issuer);
    else await assert.rejects(one.verify(token, now), { kind: "revoked" });
  });
}
