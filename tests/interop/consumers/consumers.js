// Each library verifies access tokens as its manual says; those that can, find the key set by discovery. Reads a question a line, JSON, and answers a line.
//
// { consumer, service, issuer, audience, algorithms, token, forget }: does `consumer` accept `token`? `service` names the instance of the
// consumer, with what it has cached; with `forget` another one takes its place.
import { createInterface } from "node:readline";
import fastifyJwt from "@fastify/jwt";
import { auth } from "express-oauth2-jwt-bearer";
import { createVerifier } from "fast-jwt";
import fastify from "fastify";
import buildGetJwks from "get-jwks";
import { createRemoteJWKSet, jwtVerify } from "jose";
import jsonwebtoken from "jsonwebtoken";
import jwksRsa from "jwks-rsa";
import * as oauth from "oauth4webapi";
import passport from "passport";
import { Strategy } from "passport-jwt";

// Each cache is kept for an hour, so that only what the issuer does refreshes it, and may be asked again at once for a new key.
const HOUR = 3_600_000;
const jwksUri = ({ issuer }) => `${issuer}/.well-known/jwks.json`;
const authorization = (token) => ({ authorization: `Bearer ${token}` });

/** The middleware of express runs with as little of a request as it looks at. */
const runMiddleware = (middleware, token) =>
  new Promise((resolve, reject) => {
    const headers = { ...authorization(token), host: "api.example" };
    const request = { headers, is: () => false, query: {}, method: "GET", protocol: "https", originalUrl: "/", get: (name) => headers[name.toLowerCase()] };
    middleware(request, {}, (error) => (error === undefined ? resolve() : reject(error)));
  });

const consumers = {
  jose: (expected) => {
    const keys = createRemoteJWKSet(new URL(jwksUri(expected)), { cacheMaxAge: HOUR, cooldownDuration: 0 });
    const { issuer, audience, algorithms } = expected;
    return (token) => jwtVerify(token, keys, { issuer, audience, algorithms, typ: "at+jwt" });
  },

  "jsonwebtoken, jwks-rsa": (expected) => {
    const client = jwksRsa({ jwksUri: jwksUri(expected), cache: true, cacheMaxAge: HOUR });
    const { issuer, audience, algorithms } = expected;
    const key = ({ kid }, done) => client.getSigningKey(kid, (error, key) => done(error, key?.getPublicKey()));
    return (token) =>
      new Promise((resolve, reject) =>
        jsonwebtoken.verify(token, key, { issuer, audience, algorithms }, (error, claims) => (error ? reject(error) : resolve(claims))),
      );
  },

  "passport-jwt, jwks-rsa": (expected) => {
    const strategy = new Strategy(
      {
        jwtFromRequest: ({ headers }) => headers.authorization.slice("Bearer ".length),
        secretOrKeyProvider: jwksRsa.passportJwtSecret({ jwksUri: jwksUri(expected), cache: true, cacheMaxAge: HOUR }),
        issuer: expected.issuer,
        audience: expected.audience,
        algorithms: expected.algorithms,
      },
      (claims, done) => done(null, claims),
    );
    const one = new passport.Passport().use(strategy);
    return (token) =>
      new Promise((resolve, reject) => {
        const decided = (error, user, info) => (user ? resolve(user) : reject(error ?? info));
        one.authenticate("jwt", decided)({ headers: authorization(token) }, {}, reject);
      });
  },

  "fast-jwt, get-jwks": (expected) => {
    const jwks = buildGetJwks({ ttl: HOUR, jwksPath: "/.well-known/jwks.json", issuersWhitelist: [expected.issuer] });
    const verify = createVerifier({
      key: ({ header: { kid, alg } }) => jwks.getPublicKey({ kid, alg, domain: expected.issuer }),
      algorithms: expected.algorithms,
      allowedIss: expected.issuer,
      allowedAud: expected.audience,
    });
    return (token) => verify(token);
  },

  "@fastify/jwt, get-jwks": async (expected) => {
    const jwks = buildGetJwks({ ttl: HOUR, providerDiscovery: true, issuersWhitelist: [expected.issuer] });
    const app = fastify();
    await app.register(fastifyJwt, {
      decode: { complete: true },
      secret: (_, { header: { kid, alg } }) => jwks.getPublicKey({ kid, alg, domain: expected.issuer }),
      verify: { algorithms: expected.algorithms, allowedIss: expected.issuer, allowedAud: expected.audience },
    });
    app.get("/", { onRequest: (request) => request.jwtVerify() }, () => "welcome");
    return async (token) => {
      const answer = await app.inject({ url: "/", headers: authorization(token) });
      if (answer.statusCode !== 200) throw new Error(answer.body);
    };
  },

  "express-oauth2-jwt-bearer": (expected) => {
    const { issuer, audience, algorithms } = expected;
    // It takes one algorithm.
    const settings = { issuerBaseURL: issuer, audience, cacheMaxAge: HOUR, cooldownDuration: 0, strict: true };
    const middleware = auth({ ...settings, tokenSigningAlg: algorithms[0] });
    return (token) => runMiddleware(middleware, token);
  },

  oauth4webapi: async (expected) => {
    const issuer = new URL(expected.issuer);
    const options = { [oauth.allowInsecureRequests]: true, algorithm: "oauth2", signingAlgorithms: expected.algorithms };
    const server = await oauth.processDiscoveryResponse(issuer, await oauth.discoveryRequest(issuer, options));
    return (token) => {
      const request = new Request(expected.audience, { headers: authorization(token) });
      return oauth.validateJwtAccessToken(server, request, expected.audience, options);
    };
  },
};

const instances = new Map();

async function answer({ consumer, service, token, forget, ...expected }) {
  const name = `${consumer} of ${service} for ${expected.audience}`;
  if (forget || !instances.has(name)) instances.set(name, await consumers[consumer](expected));
  try {
    await instances.get(name)(token);
    return { accepts: true };
  } catch (error) {
    return { accepts: false, reason: String(error?.message ?? error) };
  }
}

console.log(JSON.stringify(Object.keys(consumers)));
for await (const line of createInterface({ input: process.stdin })) console.log(JSON.stringify(await answer(JSON.parse(line))));
