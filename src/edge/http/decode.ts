import { IsthmusError } from '../../lib/errors.ts';
import { type Decoder, TOP } from '../../model/go-decode.ts';
import { scanValue } from './json-scan.ts';
import type { ApiRequest } from './route.ts';

export * from '../../model/go-decode.ts';

/** Containers that may lie in one another in a body. */
const MAX_DEPTH = 1_000;

/** Parses the first value of `body`; what follows it is ignored, as Go's stream decoder does. */
export function parseBody(body: Buffer): unknown {
  const text = body.toString('utf8');
  try {
    const value: unknown = JSON.parse(text);
    // Only a long text can be deep; the scan guards what later walks the value recursively.
    if (body.length > MAX_DEPTH * 2) {
      const scan = scanValue(body.toString('latin1'), MAX_DEPTH);
      if ('error' in scan) throw new IsthmusError('invalid_argument', scan.error);
    }
    return value;
  } catch (error) {
    if (error instanceof IsthmusError) throw error;
    const scan = scanValue(body.toString('latin1'), MAX_DEPTH);
    if ('error' in scan) throw new IsthmusError('invalid_argument', scan.error);
    return JSON.parse(body.toString('utf8', 0, scan.end)) as unknown;
  }
}

/** The body as a `T`. @param prefix what Consul's endpoint writes before the reason. */
export function decodeBody<T>(
  request: Pick<ApiRequest, 'body' | 'passOver'>,
  decoder: Decoder<T>,
  prefix = 'Request decode failed: ',
): T {
  try {
    return decoder.decode(parseBody(request.body), { ...TOP, onUnknown: request.passOver }) ?? ({} as T);
  } catch (error) {
    const cause = IsthmusError.from(error);
    throw new IsthmusError(cause.code, `${prefix}${cause.message}`, { cause });
  }
}
