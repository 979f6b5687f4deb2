/** A request as rules about requests see it; the same for the built-in sidecar's engine and for what Envoy is given. */
export interface HttpRequest {
  /** As it was sent: methods are compared exactly. */
  readonly method: string;
  /** With its query, as in `:path`. */
  readonly path: string;
  readonly authority: string;
  /** In the order of their lines; names in lower case. */
  readonly headers: readonly HeaderLine[];
}

export type HeaderLine = readonly [name: string, value: string];

/** What Envoy compares: all lines of a name joined by a comma, cookies by a semicolon. Undefined when there is none. */
export function headerValue(request: HttpRequest, name: string): string | undefined {
  switch (name) {
    case ':method':
      return request.method;
    case ':path':
      return request.path;
    case ':authority':
    case 'host':
      return request.authority;
  }
  let joined: string | undefined;
  for (const [given, value] of request.headers) {
    if (given !== name) continue;
    joined = joined === undefined ? value : `${joined}${name === 'cookie' ? '; ' : ','}${value}`;
  }
  return joined;
}

/** The path that rules see: without query and fragment. */
export function pathOf(request: HttpRequest): string {
  return splitPath(request.path)[0];
}

/** The path, and what follows it with its `?` or `#`. */
export function splitPath(path: string): readonly [path: string, rest: string] {
  const end = path.search(/[?#]/);
  return end === -1 ? [path, ''] : [path.slice(0, end), path.slice(end)];
}

/** The first value of a query parameter, not decoded; '' when it has none. Undefined when it is not there. */
export function queryValue(request: HttpRequest, name: string): string | undefined {
  const start = request.path.indexOf('?');
  if (start === -1) return undefined;
  for (const pair of request.path.slice(start + 1).split('&')) {
    const equals = pair.indexOf('=');
    if ((equals === -1 ? pair : pair.slice(0, equals)) === name) return equals === -1 ? '' : pair.slice(equals + 1);
  }
  return undefined;
}

/** ASCII only, as Envoy folds the case of paths and header values. */
export function foldAscii(text: string): string {
  return text.replace(/[A-Z]+/g, (letters) => letters.toLowerCase());
}

/**
 * Whether an application may take one name of a header for the other: gateways in front of many (WSGI, CGI, PHP) make
 * one variable of dashes and underscores.
 */
export function isReadAs(name: string, other: string): boolean {
  return name === other || (name.length === other.length && name.replaceAll('_', '-') === other.replaceAll('_', '-'));
}
