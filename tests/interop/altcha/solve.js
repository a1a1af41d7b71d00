// Solves a challenge of the standard input with the library of npm, and writes the payload that its widget would send.
import { readFileSync } from "node:fs";
import { pbkdf2, solveChallenge } from "altcha/lib";

const challenge = JSON.parse(readFileSync(0, "utf8"));
const solution = await solveChallenge({ challenge, deriveKey: pbkdf2.deriveKey });
console.log(btoa(JSON.stringify({ challenge, solution })));
