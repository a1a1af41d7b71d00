// Reads lines {body, headers, secret}; answers each with what the code of docs/webhooks.md makes of it.
import { createInterface } from "node:readline";
import { writeFileSync } from "node:fs";

// The code of the document, beside the library that it imports.
const [code] = process.argv.slice(2);
const file = new URL("node_modules/received.mjs", import.meta.url);
writeFileSync(file, code);
const { received } = await import(file);

for await (const line of createInterface({ input: process.stdin })) {
  const { body, headers, secret } = JSON.parse(line);
  let answer;
  try {
    answer = { event: received(body, headers, secret) };
  } catch (error) {
    answer = { error: `${error.constructor.name}: ${error.message}` };
  }
  console.log(JSON.stringify(answer));
}
