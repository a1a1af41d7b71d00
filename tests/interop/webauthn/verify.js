// Verifies ceremonies as the manual of @simplewebauthn/server says. Reads a question a line, JSON, and answers a line; the questions are those
// of crates/doorwarden-webauthn/examples/relying_party.rs.
import { createInterface } from "node:readline";
import { verifyAuthenticationResponse, verifyRegistrationResponse } from "@simplewebauthn/server";

const verify = async ({ ask, challenge, response, credential, required }) => {
  const expected = {
    response,
    expectedChallenge: challenge,
    expectedOrigin: "https://example.org",
    expectedRPID: "example.org",
    requireUserVerification: required,
  };
  const { verified } =
    ask === "registration"
      ? await verifyRegistrationResponse({ ...expected, supportedAlgorithmIDs: [-7, -8, -257, -35] })
      : await verifyAuthenticationResponse({ ...expected, credential: { ...credential, publicKey: Uint8Array.from(credential.publicKey) } });
  return verified ? { accepts: true } : { accepts: false, reason: "not verified" };
};

for await (const line of createInterface({ input: process.stdin })) {
  const answer = await verify(JSON.parse(line)).catch(({ message }) => ({ accepts: false, reason: message }));
  console.log(JSON.stringify(answer));
}
