import type { IncomingMessage } from 'node:http';
import { BlockList, isIP, isIPv6 } from 'node:net';
import { TENANCY_HEADERS, TENANCY_PARAMETERS, tenancyFault } from '../../model/tenancy.ts';
import type { Query } from './query.ts';
import type { ApiResponse } from './route.ts';

export interface RequestGuardOptions {
  /**
   * Names that this agent is reached by, beside IP addresses, `localhost` and single labels; `*.name` is all below it.
   */
  readonly hosts?: readonly string[];
  /**
   * `http_config.allow_origins`: pages that may change something, as browsers write them: `https://ops.example.com`.
   */
  readonly allowOrigins?: readonly string[];
  /** `http_config.allow_write_http_from`: CIDRs that may send anything but GET; empty is everyone. */
  readonly allowWriteHttpFrom?: readonly string[];
}

/** Methods that change nothing. */
const SAFE = new Set(['GET', 'HEAD', 'OPTIONS']);

/** What HTML forms can send, and any page to any place without being asked: the only ones without a preflight. */
const FORM_TYPES = /^(?:application\/x-www-form-urlencoded|multipart\/form-data|text\/plain)\s*(?:;|$)/i;

type Headers = Readonly<Record<string, string | undefined>>;

/**
 * Refuses what a browser sends in the name of a page that the operator did not mean, and what names a namespace that
 * does not exist. The API has no cookies and grants no page of another origin to read its answers, but without ACLs (or
 * behind a proxy that adds a token) a request needs no secret, and a page can make its visitor's browser send one.
 *
 * - Any request: `Host` must be a name of this agent. A page whose own name is pointed at the agent's address (DNS
 * rebinding)
 *   is of the same origin for the browser, and could read everything. IP addresses can't be rebound, and `localhost`
 * and
 *   single labels can't be bought.
 * - A change: what says where the page comes from (`Origin`, else `Sec-Fetch-Site`, else `Referer`) must say this
 * agent.
 * - A change with the content type of a form is refused from anything that bears the marks of a browser, since one that
 *   says nothing of its page can't be told from another page's. Not from others: `curl -X PUT -d @file` sends that
 * type.
 */
export class RequestGuard {
  readonly #hosts: ReadonlySet<string>;
  readonly #suffixes: readonly string[];
  readonly #origins: ReadonlySet<string>;
  readonly #writers: BlockList | undefined;

  constructor({ hosts = [], allowOrigins = [], allowWriteHttpFrom = [] }: RequestGuardOptions) {
    const names = hosts.map((host) => host.toLowerCase().replace(/\.$/, ''));
    this.#hosts = new Set(names);
    this.#suffixes = names.flatMap((name) => (name.startsWith('*.') ? [name.slice(1)] : []));
    this.#origins = new Set(allowOrigins.map((origin) => origin.toLowerCase().replace(/\/$/, '')));
    this.#writers = blockListOf(allowWriteHttpFrom);
  }

  /** Whether a GET may be answered without a further look. @param headers names (lower case) and values in turn */
  admits(headers: readonly string[]): boolean {
    for (let at = 0; at < headers.length; at += 2) {
      const name = headers[at] as string;
      const value = headers[at + 1] as string;
      if (name === 'host' && !this.#isOwnHost(value)) return false;
      if (TENANCY_HEADERS.has(name) && value !== '' && value !== 'default') return false;
    }
    return true;
  }

  /** The answer to a request that is refused. */
  refusal({ method = 'GET', headers, socket }: IncomingMessage): ApiResponse | undefined {
    const given = headers as Headers;
    const { host = '' } = given;
    // No browser reaches a Unix socket.
    if (socket.remoteAddress !== undefined && !this.#isOwnHost(host)) return unknownHost(host);
    const tenancy = foreignHeader(given, SAFE.has(method));
    if (tenancy !== undefined) return tenancy;
    if (SAFE.has(method)) return undefined;
    if (!this.#mayWrite(socket.remoteAddress ?? '')) return { status: 403, text: 'Access is restricted' };
    return this.#foreignPage(given);
  }

  #mayWrite(client: string): boolean {
    return this.#writers === undefined || this.#writers.check(client, isIPv6(client) ? 'ipv6' : 'ipv4');
  }

  #isOwnHost(host: string): boolean {
    const name = hostname(host);
    if (name === '' || isIP(name) !== 0 || !name.includes('.') || name.endsWith('.localhost')) return true;
    return this.#hosts.has('*') || this.#hosts.has(name) || this.#suffixes.some((suffix) => name.endsWith(suffix));
  }

  #foreignPage(headers: Headers): ApiResponse | undefined {
    const { origin, referer, host = '', 'sec-fetch-site': site } = headers;
    if (origin !== undefined) {
      if (this.#origins.has(origin.toLowerCase())) return undefined;
      if (hostOf(origin) !== host.toLowerCase()) return foreign(`the page is of ${shown(origin)}`);
    } else if (site !== undefined) {
      if (site !== 'same-origin' && site !== 'none') return foreign(`the page is of another site (${shown(site)})`);
    } else if (referer !== undefined) {
      if (this.#origins.has(originOf(referer))) return undefined;
      if (hostOf(referer) !== host.toLowerCase()) return foreign(`the page is of ${shown(originOf(referer))}`);
    }
    if (isBrowser(headers) && FORM_TYPES.test(headers['content-type'] ?? ''))
      return foreign(
        `the content type ${shown(headers['content-type'] ?? '')} is that of a form: send application/json`,
      );
    return undefined;
  }
}

/** Throws nothing; the answer to a request whose query names a namespace or the like that does not exist. */
export function foreignParameter(query: Query, changes: boolean): string | undefined {
  if (query.empty) return undefined;
  for (const [name, tenancy] of TENANCY_PARAMETERS) {
    for (const value of query.all(name)) {
      const fault = tenancyFault(tenancy, value, !changes);
      if (fault !== undefined) return `Bad request: Invalid query parameter: ${JSON.stringify(name)} - ${fault}`;
    }
  }
  return undefined;
}

function foreignHeader(headers: Headers, any: boolean): ApiResponse | undefined {
  for (const [name, tenancy] of TENANCY_HEADERS) {
    const fault = tenancyFault(tenancy, headers[name], any);
    if (fault !== undefined)
      return { status: 400, text: `Bad request: Invalid header: ${JSON.stringify(name)} - ${fault}` };
  }
  return undefined;
}

function unknownHost(host: string): ApiResponse {
  return {
    status: 403,
    text:
      `the request is for ${shown(host)}, which is no name of this agent: ask by its address or one of its names, ` +
      `or add ` +
      'this one to http_config.allow_hosts',
  };
}

function foreign(why: string): ApiResponse {
  return {
    status: 403,
    text:
      `a browser asks for a change that this agent's own pages did not ask for: ${why}; see ` +
      `http_config.allow_origins`,
  };
}

/** `Sec-Fetch-Mode` is no mark: Node's fetch sends it. */
function isBrowser(headers: Headers): boolean {
  return (
    headers.origin !== undefined ||
    headers.referer !== undefined ||
    headers['sec-fetch-site'] !== undefined ||
    headers['user-agent']?.startsWith('Mozilla/') === true
  );
}

/** Without the port, brackets and the root's dot. */
function hostname(host: string): string {
  const text = host.trim().toLowerCase();
  if (text.startsWith('[')) return text.slice(1, text.indexOf(']'));
  return text.replace(/:\d*$/, '').replace(/\.$/, '');
}

/** `host:port` of a URL, as `Host` would say it; '' for none (`Origin: null`). */
function hostOf(url: string): string {
  return URL.canParse(url) ? new URL(url).host : '';
}

function originOf(url: string): string {
  return URL.canParse(url) ? new URL(url).origin : '';
}

const MAX_SHOWN = 100;

function shown(text: string): string {
  return JSON.stringify(text.length > MAX_SHOWN ? `${text.slice(0, MAX_SHOWN)}…` : text);
}

function blockListOf(cidrs: readonly string[]): BlockList | undefined {
  if (cidrs.length === 0) return undefined;
  const list = new BlockList();
  for (const cidr of cidrs) {
    const [address = '', bits] = cidr.split('/');
    const family = isIPv6(address) ? 'ipv6' : 'ipv4';
    list.addSubnet(address, Number(bits ?? (family === 'ipv6' ? 128 : 32)), family);
  }
  return list;
}
