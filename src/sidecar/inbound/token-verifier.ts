import { errors, type JWTPayload, jwtVerify } from 'jose';
import type { Clock } from '../../lib/clock.ts';
import { IsthmusError } from '../../lib/errors.ts';
import type { JwtProvider, TokenLocation } from '../../model/layer7/jwt-provider.ts';
import { type HttpRequest, headerValue, isReadAs, queryValue } from '../../model/layer7/request.ts';
import type { Logger } from '../../telemetry/types.ts';
import { cookieOf } from '../http/message.ts';
import { KeySource } from './key-source.ts';

export interface TokenVerifierDeps {
  readonly clock: Clock;
  readonly log: Logger;
  readonly providers: () => ReadonlyMap<string, JwtProvider>;
}

export interface VerifiedRequest {
  /** Claims by issuer. */
  readonly tokens: ReadonlyMap<string, unknown>;
  /** Without the tokens that are not passed on, and with the claims that are. */
  readonly request: HttpRequest;
}

/** Longest token looked at, characters. */
const MAX_TOKEN = 16_384;
/** Valid tokens remembered, of all issuers. */
const MAX_KEPT = 1_000;

interface Known {
  readonly payload: JWTPayload;
  /** Milliseconds. */
  readonly until: number;
}

/** Finds the tokens in a request and verifies them: signature, issuer, audience and time. */
export class TokenVerifier {
  readonly #deps: TokenVerifierDeps;
  readonly #sources = new Map<string, { readonly issuer: JwtProvider; readonly keys: KeySource }>();
  readonly #kept = new Map<string, Known>();

  constructor(deps: TokenVerifierDeps) {
    this.#deps = deps;
  }

  /** Whether rules ask for tokens at all. */
  needed(): boolean {
    return this.#deps.providers().size > 0;
  }

  async verify(request: HttpRequest): Promise<VerifiedRequest> {
    const tokens = new Map<string, unknown>();
    let headers = request.headers;
    for (const issuer of this.#deps.providers().values()) {
      const { payloadHeader } = issuer;
      // only ours is believed
      if (payloadHeader !== undefined) headers = headers.filter(([name]) => !isReadAs(name, payloadHeader.name));
      for (const location of issuer.locations) {
        const token = tokenAt(location, request);
        if (token === undefined || token.length > MAX_TOKEN) continue;
        const payload = await this.#payload(issuer, token);
        if (payload === undefined) continue;
        tokens.set(issuer.name, payload);
        if (location.type === 'header' && !issuer.forward) headers = headers.filter(([name]) => name !== location.name);
        if (payloadHeader !== undefined)
          headers = [...headers, [payloadHeader.name, encoded(payload, payloadHeader.padded)]];
        break;
      }
    }
    return { tokens, request: { ...request, headers } };
  }

  async #payload(issuer: JwtProvider, token: string): Promise<JWTPayload | undefined> {
    const { clock, log } = this.#deps;
    const keys = this.#keysOf(issuer);
    const key = `${issuer.name} ${token}`;
    const known = this.#kept.get(key);
    if (known !== undefined && clock.now() < known.until) return known.payload;
    this.#kept.delete(key);
    try {
      const payload = await verifyToken(token, issuer, keys, clock.now());
      const until =
        payload.exp === undefined ? Number.POSITIVE_INFINITY : (payload.exp + issuer.clockSkewSeconds) * 1_000;
      if (this.#kept.size >= MAX_KEPT) this.#kept.delete(this.#kept.keys().next().value as string);
      this.#kept.set(key, { payload, until });
      return payload;
    } catch (error) {
      if (!(error instanceof errors.JOSEError))
        log.warn('tokens can not be verified', { provider: issuer.name, error: IsthmusError.from(error).message });
      return undefined;
    }
  }

  /** Made anew when what the issuer is changed: what was verified before does not count then. */
  #keysOf(issuer: JwtProvider): KeySource {
    const known = this.#sources.get(issuer.name);
    if (known !== undefined && JSON.stringify(known.issuer) === JSON.stringify(issuer)) return known.keys;
    const keys = new KeySource({ clock: this.#deps.clock, keys: issuer.keys });
    this.#sources.set(issuer.name, { issuer, keys });
    this.#kept.clear();
    return keys;
  }
}

async function verifyToken(token: string, issuer: JwtProvider, keys: KeySource, now: number): Promise<JWTPayload> {
  const options = {
    ...(issuer.issuer === '' ? {} : { issuer: issuer.issuer }),
    ...(issuer.audiences.length === 0 ? {} : { audience: [...issuer.audiences] }),
    clockTolerance: issuer.clockSkewSeconds,
    currentDate: new Date(now),
  };
  try {
    return (await jwtVerify(token, await keys.get(false), options)).payload;
  } catch (error) {
    if (!(error instanceof errors.JWKSNoMatchingKey)) throw error;
    return (await jwtVerify(token, await keys.get(true), options)).payload;
  }
}

function tokenAt(location: TokenLocation, request: HttpRequest): string | undefined {
  switch (location.type) {
    case 'header': {
      const value = headerValue(request, location.name);
      if (value === undefined || !value.startsWith(location.prefix)) return undefined;
      return value.slice(location.prefix.length).trim();
    }
    case 'query':
      return queryValue(request, location.name);
    case 'cookie':
      return cookieOf(request, location.name);
  }
}

function encoded(payload: JWTPayload, padded: boolean): string {
  const text = Buffer.from(JSON.stringify(payload)).toString('base64url');
  return padded ? text.padEnd(Math.ceil(text.length / 4) * 4, '=') : text;
}
