// What somebody may send who has the public key, or a key of his own; and keys that are none.
import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { before, test } from "node:test";
import { exportJWK, generateKeyPair, SignJWT, UnsecuredJWT } from "jose";
import { Checker } from "../dist/index.js";

const ISSUER = "https://id.example";
const NOW = 1_800_000_000;
let issuers, others, published, checker;

before(async () => {
  [issuers, others] = await Promise.all([0, 1].map(() => generateKeyPair("EdDSA", { extractable: true })));
  published = await jwk(issuers.publicKey);
  checker = new Checker(ISSUER);
  await checker.setKeys({ keys: [published] });
});

const jwk = async (key) => ({ ...(await exportJWK(key)), kid: "k", alg: "EdDSA", use: "sig" });
const claims = (changes) => ({
  ...{ iss: ISSUER, sub: "7", aud: ISSUER, exp: NOW + 300, iat: NOW, jti: "a", client_id: "web" },
  ...changes,
});
const token = (changes = {}, headers = {}, key = issuers.privateKey) =>
  new SignJWT(claims(changes)).setProtectedHeader({ alg: "EdDSA", kid: "k", typ: "at+jwt", ...headers }).sign(key);

/** A token of this header under HMAC, which no library would make with a public key. */
async function hs256(secret) {
  const header = Buffer.from(JSON.stringify({ alg: "HS256", kid: "k", typ: "at+jwt" })).toString("base64url");
  const signed = `${header}.${(await token()).split(".")[1]}`;
  return `${signed}.${createHmac("sha256", secret).update(signed).digest("base64url")}`;
}

/** The same, with any header, under the issuer's own key. */
async function signed(header) {
  const [, payload, signature] = (await token()).split(".");
  return [Buffer.from(JSON.stringify({ alg: "EdDSA", kid: "k", typ: "at+jwt", ...header })).toString("base64url"), payload, signature].join(".");
}

test("no forgery passes", async (t) => {
  assert.equal((await checker.verify(await token(), NOW)).sub, "7");
  const own = others.privateKey;
  const forgeries = {
    none: new UnsecuredJWT(claims()).encode(),
    "none with kid and typ": await signed({ alg: "none" }),
    "HS256 with the public key": await hs256(Buffer.from(published.x, "base64url")),
    "HS256 with the JWK": await hs256(JSON.stringify(published)),
    "a key of his own": await token({}, {}, own),
    jwk: await token({}, { jwk: await jwk(others.publicKey) }, own),
    jku: await token({}, { jku: "https://evil.example" }),
    crit: await signed({ crit: ["exp"], exp: 1 }),
    typ: await token({}, { typ: "JWT" }),
    kid: await token({}, { kid: "other" }),
    issuer: await token({ iss: "https://evil.example" }),
    audience: await token({ aud: ["https://other.example"] }),
    "no audience": await token({ aud: undefined }),
    "no id": await token({ jti: undefined }),
    expired: await token({ exp: NOW }),
    "exp is text": await token({ exp: String(NOW + 300) }),
    "not yet": await token({ nbf: NOW + 1 }),
    "from the future": await token({ iat: NOW + 61 }),
    "too long": `${await token()}${"A".repeat(9000)}`,
    empty: "",
    "no text": "\udcff.a.b",
  };
  for (const [name, forged] of Object.entries(forgeries)) {
    await t.test(name, () => assert.rejects(checker.verify(forged, NOW), { kind: "invalid" }));
  }
});

test("a remembered token dies at its expiry and with its key", async () => {
  const one = new Checker(ISSUER);
  await assert.rejects(one.verify(await token(), NOW), { kind: "unavailable", code: "no_keys" });
  await one.setKeys({ keys: [published] });
  const remembered = await token();
  await one.verify(remembered, NOW);
  await one.verify(remembered, NOW + 299);
  await assert.rejects(one.verify(remembered, NOW + 300), { code: "expired" });
  await one.setKeys({ keys: [await jwk(others.publicKey)] });
  await assert.rejects(one.verify(remembered, NOW), { code: "bad_signature" });
});

test("one bad key spoils the set, and the keys of before stay", async () => {
  const bad = [await jwk(others.privateKey), { kty: "oct", k: "c2VjcmV0", kid: "s", alg: "HS256" }, published, { kid: "x" }];
  for (const key of bad) await assert.rejects(checker.setKeys({ keys: [published, key] }), TypeError);
  await checker.verify(await token(), NOW);
});
