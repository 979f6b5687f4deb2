import { readFile } from 'node:fs/promises';
import { type IncomingMessage, request as requestHttp } from 'node:http';
import { request as requestHttps } from 'node:https';
import { createLocalJWKSet, type JSONWebKeySet, type JWTVerifyGetKey } from 'jose';
import type { Clock } from '../../lib/clock.ts';
import { IsthmusError } from '../../lib/errors.ts';
import { isLinkLocal, lookupOutside } from '../../lib/link-local.ts';
import type { JwtKeys } from '../../model/layer7/jwt-provider.ts';

/** Bytes of a key set. */
const MAX_KEYS = 256 * 1_024;
/** Keys that a token names and that are not known are asked for no more often than this. */
const REFRESH_MS = 30_000;

type Remote = JwtKeys & { readonly type: 'remote' };

export interface KeySourceDeps {
  readonly clock: Clock;
  readonly keys: JwtKeys;
}

/** The keys of one issuer of tokens: given, or fetched and kept. While they can't be fetched, the last ones count. */
export class KeySource {
  readonly #deps: KeySourceDeps;
  #current: { readonly get: JWTVerifyGetKey; readonly at: number } | undefined;
  #fetching: Promise<void> | undefined;

  constructor(deps: KeySourceDeps) {
    this.#deps = deps;
    const { keys, clock } = deps;
    if (keys.type === 'inline') this.#current = { get: keySet(keys.keySet), at: clock.steady() };
  }

  /** Rejects when there never were any. @param stale a token names a key that is not among the present ones */
  async get(stale: boolean): Promise<JWTVerifyGetKey> {
    const { keys, clock } = this.#deps;
    if (keys.type === 'file') this.#current ??= { get: keySet(await readFile(keys.path, 'utf8')), at: clock.steady() };
    if (keys.type === 'remote') {
      const age = clock.steady() - (this.#current?.at ?? Number.NEGATIVE_INFINITY);
      if (age >= keys.cacheMs || (stale && age >= REFRESH_MS)) await this.#refresh(keys);
    }
    if (this.#current === undefined) throw new IsthmusError('unavailable', 'there are no keys to verify tokens with');
    return this.#current.get;
  }

  #refresh(keys: Remote): Promise<void> {
    this.#fetching ??= this.#fetch(keys).finally(() => {
      this.#fetching = undefined;
    });
    return this.#fetching;
  }

  async #fetch(keys: Remote): Promise<void> {
    const { clock } = this.#deps;
    let failure: unknown;
    for (let attempt = 0; attempt <= keys.retries; attempt += 1) {
      try {
        const text = await download(keys, clock);
        this.#current = { get: keySet(text), at: clock.steady() };
        return;
      } catch (error) {
        failure = error;
      }
    }
    if (this.#current === undefined) throw failure;
    // The keys of before go on; the next attempt is made when a key is missing, or after a while.
    this.#current = { get: this.#current.get, at: clock.steady() - keys.cacheMs + Math.min(REFRESH_MS, keys.cacheMs) };
  }
}

function keySet(text: string): JWTVerifyGetKey {
  return createLocalJWKSet(JSON.parse(text) as JSONWebKeySet); // checks what it is given
}

/**
 * PEM of who may have signed the other side's certificate. A variable is one of another process: only Envoy reads it.
 */
async function authorities(trusted: NonNullable<Remote['trusted']>): Promise<string> {
  if ('pem' in trusted) return trusted.pem;
  if ('file' in trusted) return await readFile(trusted.file, 'utf8');
  throw new IsthmusError('invalid_argument', 'the built-in sidecar takes no authorities from an environment variable');
}

/** A text for the log of the sidecar: who may write entries must not make it ask what only its machine may. */
function refused(host: string): Error {
  return new IsthmusError(
    'permission_denied',
    `${host} is a link-local address or one of a cloud's metadata, from which no keys are fetched: give the keys ` +
      'in the entry (JSONWebKeySet.Local), or serve them elsewhere',
  );
}

const lookup = lookupOutside(refused);

/** No redirects: they could lead anywhere. */
async function download({ uri, timeoutMs, trusted }: Remote, clock: Clock): Promise<string> {
  const ca = trusted === undefined ? undefined : await authorities(trusted);
  const { protocol, hostname } = new URL(uri);
  const host = hostname.replace(/^\[(.*)\]$/, '$1');
  if (isLinkLocal(host)) throw refused(host);
  return await new Promise((resolve, reject) => {
    const begin = protocol === 'https:' ? requestHttps : requestHttp;
    const request = begin(
      uri,
      { headers: { accept: 'application/json' }, lookup, ...(ca === undefined ? {} : { ca }) },
      (response: IncomingMessage) => {
        if (response.statusCode !== 200) {
          request.destroy(new Error(`${uri} answered ${response.statusCode}`));
          return;
        }
        const chunks: Buffer[] = [];
        let size = 0;
        response.on('data', (chunk: Buffer) => {
          size += chunk.length;
          if (size > MAX_KEYS) request.destroy(new Error(`${uri} has more than ${MAX_KEYS} bytes`));
          else chunks.push(chunk);
        });
        response.on('error', reject);
        response.once('end', () => {
          timer.cancel();
          resolve(Buffer.concat(chunks).toString());
        });
      },
    );
    const timer = clock.after(timeoutMs, () => request.destroy(new Error(`${uri} did not answer in ${timeoutMs} ms`)));
    request.once('error', (error) => {
      timer.cancel();
      reject(error);
    });
    request.end();
  });
}
