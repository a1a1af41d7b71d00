// The published test vectors of the revocation feed (docs/vectors).
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { CompactSign, exportJWK, generateKeyPair } from "jose";
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
    if (refused === undefined) await one.addStatement(signed, now);
    else await assert.rejects(one.addStatement(signed, now), { code: refused });
    assert.equal(one.silence(now), refused === undefined ? 0 : undefined);
  });
}

for (const { name, token, counts } of tokens.cases) {
  test(`token: ${name}`, async () => {
    const one = await checker();
    assert.equal(await one.addStatement(statements.find((statement) => statement.name === tokens.statement).signed, now), true);
    if (counts) assert.equal((await one.verify(token, now)).iss, issuer);
    else await assert.rejects(one.verify(token, now), { kind: "revoked" });
  });
}

/** A checker of a key of our own, and what signs statements and tokens with it. */
async function own() {
  const { publicKey, privateKey } = await generateKeyPair("EdDSA");
  const one = new Checker(issuer, audience);
  await one.setKeys({ keys: [{ ...(await exportJWK(publicKey)), kid: "k", alg: "EdDSA", use: "sig" }] });
  // Written as text, so that numbers are what they are.
  const sign = (typ, json) => new CompactSign(Buffer.from(json)).setProtectedHeader({ alg: "EdDSA", kid: "k", typ }).sign(privateKey);
  const claims = (members) => `{"iss":"${issuer}",${members}}`;
  const addStatement = async (users, { iat = now, window = 300, more = "", sessions = "[]", keys = "[]" } = {}) => {
    const json = claims(`"iat":${iat},"exp":${now + 30},"window":${window},"sessions":${sessions},"users":${users},"keys":${keys}${more}`);
    return one.addStatement(await sign("revocations.v2+jwt", json), now);
  };
  const judge = async (sub, { sid, iat = now, id } = {}) => {
    const more = (sid === undefined ? "" : `,"sid":"${sid}"`) + (id === undefined ? "" : `,"id":${id}`);
    const json = claims(`"aud":"${audience}","sub":"${sub}","jti":"j","client_id":"web","iat":${iat},"exp":${now + 300}${more}`);
    return one.verify(await sign("at+jwt", json), now).then(() => "counts", (error) => error.code);
  };
  return { addStatement, judge };
}
const [A, B] = ["00000000-0000-4000-8000-00000000000a", "00000000-0000-4000-8000-00000000000b"];

test("entries of one user stand beside each other", async () => {
  const { addStatement, judge } = await own();
  await addStatement(`[[7,${now - 20},"${A}"],[7,${now - 10},"${B}"]]`);
  // An older statement that comes later takes nothing back.
  await addStatement(`[[7,${now - 30},null]]`, { iat: now - 5 });
  const counted = [];
  for (const sid of [undefined, A, B]) {
    for (const age of [35, 25, 15, 9]) if ((await judge("7", { sid, iat: now - age })) === "counts") counted.push([sid, age]);
  }
  assert.deepEqual(counted, [[undefined, 9], [A, 9], [B, 15], [B, 9]]);
  assert.equal(await judge("8", { sid: A, iat: now - 35 }), "counts");
});

test("before never goes back", async () => {
  const { addStatement, judge } = await own();
  await addStatement("[]", { more: `,"before":${now - 5}` });
  await addStatement("[]", { iat: now + 1, more: `,"before":${now - 10}` });
  await addStatement("[]", { iat: now + 2 });
  assert.deepEqual([await judge("7", { iat: now - 5 }), await judge("7", { iat: now - 4 })], ["issued_before", "counts"]);
});

test("no id is ever rounded to that of somebody else", async () => {
  const { addStatement, judge } = await own();
  await addStatement(`[[9007199254740993,${now}],[9007199254740995,${now},null]]`);
  for (const [sub, expected] of [
    ["9007199254740992", "counts"], ["9007199254740993", "issued_before"], ["9007199254740994", "counts"],
    ["9007199254740995", "issued_before"], ["9007199254740996", "counts"],
  ]) {
    assert.equal(await judge(sub, { iat: now - 1 }), expected, sub);
  }
  assert.equal(await judge("9007199254740991", { id: "9007199254740991" }), "counts");
  for (const id of ["9007199254740992", "9007199254740993", "1e300"]) assert.equal(await judge(id, { id }), "unsafe_id");
  for (const id of ['"7"', "null", "7.5"]) assert.notEqual(await judge("7", { id }), "counts", id);
});

test("a statement that is malformed is refused whole", async () => {
  const { addStatement } = await own();
  for (const users of ["[[7]]", `[["7",${now}]]`, "[[7,null]]", `[[true,${now}]]`, `[[7,${now},""]]`, `[[7,${now},7]]`, "7"]) {
    await assert.rejects(addStatement(users), { code: "bad_claim" }, users);
  }
  for (const sessions of [`[["${A}"]]`, `[[7,${now}]]`, `[["${A}","now"]]`, "{}"]) {
    await assert.rejects(addStatement("[]", { sessions }), { code: "bad_claim" }, sessions);
  }
  for (const said of [{ keys: "[7]" }, { keys: '"k"' }, { more: ',"before":null' }, { window: -1 }, { window: '"300"' }]) {
    await assert.rejects(addStatement("[]", said), { code: "bad_claim" }, JSON.stringify(said));
  }
});
