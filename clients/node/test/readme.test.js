// What README.md shows compiles and works.
import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath, pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { logIn, register, URL_OF_SERVICE as URL_OF } from "./service.js";

const root = fileURLToPath(new URL("..", import.meta.url));
const examples = [...readFileSync(join(root, "README.md"), "utf8").matchAll(/^```ts\n(.*?)^```/gms)].map(([, code]) => code);
let folder, user, access;

/** The only example with this text. */
function example(part) {
  const found = examples.filter((code) => code.includes(part));
  assert.equal(found.length, 1, part);
  return found[0];
}

before(async () => {
  // As in a project that has installed the package.
  folder = mkdtempSync(join(root, "dist", "readme-"));
  mkdirSync(join(folder, "node_modules"));
  symlinkSync(root, join(folder, "node_modules", "doorwarden-verify"));
  writeFileSync(join(folder, "package.json"), '{"type":"module"}');
  const compilerOptions = { target: "es2023", module: "nodenext", strict: true, types: ["node"], outDir: "out", skipLibCheck: true };
  writeFileSync(join(folder, "tsconfig.json"), JSON.stringify({ compilerOptions, include: ["*.ts"] }));
  const names = { anywhere: "userOf", express: "app.listen", fetch: "protect(" };
  for (const [name, part] of Object.entries(names)) {
    const code = example(part).replaceAll("https://id.example.com", URL_OF).replaceAll("https://api.example.com", URL_OF);
    writeFileSync(join(folder, `${name}.ts`), code.replace("3000", "Number(process.env.PORT)"));
  }
  const tsc = join(root, "node_modules", "typescript", "bin", "tsc");
  await promisify(execFile)(process.execPath, [tsc, "-p", folder]).catch(({ stdout }) => assert.fail(`an example does not compile: ${stdout}`));
  user = await register();
  ({ access } = await logIn(user.email));
});
after(() => rmSync(folder, { recursive: true }));

/** Runs code beside an example, in a process of its own, since examples close nothing; its standard output. */
async function run(name, code) {
  const module = pathToFileURL(join(folder, "out", `${name}.js`)).href;
  const script = `const example = await import(${JSON.stringify(module)});\nconst access = ${JSON.stringify(access)};\n${code}\nprocess.exit();`;
  const { stdout } = await promisify(execFile)(process.execPath, ["--input-type=module", "-e", script], { cwd: folder });
  return stdout.trim();
}

test("every example is tested", () => assert.equal(examples.length, 3));

test("anywhere", async () => {
  const said = await run("anywhere", `console.log(await example.userOf(access), await example.userOf("a.b.c"));`);
  assert.equal(said, `${user.id} undefined`);
});

test("fetch handlers", async () => {
  const request = (headers) => `new Request(${JSON.stringify(URL_OF)}, { headers: ${headers} })`;
  const ask = (headers) => `(await example.GET(${request(headers)}))`;
  const said = await run("fetch", `console.log(await ${ask("{ authorization: `Bearer ${access}` }")}.text(), ${ask("{}")}.status);`);
  assert.equal(said, `{"user":"${user.id}"} 401`);
});

test("express, also for pages on other origins", async (t) => {
  const port = 20_000 + Math.floor(Math.random() * 12_000);
  const server = spawn(process.execPath, [join(folder, "out", "express.js")], { env: { ...process.env, PORT: port }, stdio: "inherit" });
  t.after(() => server.kill());
  const address = `http://127.0.0.1:${port}/api/me`;
  const origin = "https://app.example.com";
  const asks = { origin, "access-control-request-method": "GET", "access-control-request-headers": "authorization" };
  let preflight;
  for (let tries = 0; preflight === undefined && tries < 200; tries += 1) {
    preflight = await fetch(address, { method: "OPTIONS", headers: asks }).catch(() => new Promise((resolve) => setTimeout(resolve, 50)));
  }
  assert.equal(preflight.status, 204);
  assert.equal(preflight.headers.get("access-control-allow-origin"), origin);
  const answer = await fetch(address, { headers: { authorization: `Bearer ${access}`, origin } });
  assert.deepEqual([answer.status, await answer.json()], [200, { user: String(user.id) }]);
  const refused = await fetch(address, { headers: { origin } });
  assert.deepEqual([refused.status, refused.headers.get("access-control-allow-origin")], [401, origin]);
});
