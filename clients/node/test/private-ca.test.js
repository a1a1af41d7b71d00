// The issuer behind TLS, with a certificate of an authority of one's own.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { connect } from "node:net";
import { test } from "node:test";
import { createServer } from "node:tls";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { logIn, register, URL_OF_SERVICE as URL_OF } from "./service.js";

const file = (name) => fileURLToPath(new URL(`../../../tests/tls/${name}`, import.meta.url));
const index = new URL("../dist/index.js", import.meta.url).href;
const CODE = `
import { Verifier } from ${JSON.stringify(index)};
const [issuer, address, token] = process.argv.slice(1);
const verifier = new Verifier(issuer, { address });
console.log((await verifier.ready(3000)) && (await verifier.verify(token)).sub);
process.exit();
`;

test("a private authority is believed only where the environment says so", async (t) => {
  const { hostname, port } = new URL(URL_OF);
  const front = createServer({ key: readFileSync(file("localhost.key")), cert: readFileSync(file("localhost.pem")) }, (near) => {
    const far = connect(Number(port), hostname);
    near.pipe(far).pipe(near);
    for (const one of [near, far]) one.on("error", () => [near, far].forEach((each) => each.destroy()));
  });
  front.listen(0, "127.0.0.1");
  await once(front, "listening");
  t.after(() => front.close());
  const user = await register();
  const { access } = await logIn(user.email);
  const ask = async (environment) => {
    const { NODE_EXTRA_CA_CERTS: _, ...env } = process.env;
    const options = ["--input-type=module", "-e", CODE, URL_OF, `https://localhost:${front.address().port}`, access];
    const { stdout, stderr } = await promisify(execFile)(process.execPath, options, { env: { ...env, ...environment } });
    return [stdout.trim(), stderr];
  };
  const [said, warnings] = await ask({});
  assert.equal(said, "false");
  assert.match(warnings, /certificate.*hint: /);
  assert.equal((await ask({ NODE_EXTRA_CA_CERTS: file("authority.pem") }))[0], String(user.id));
});
