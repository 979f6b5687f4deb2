/** Most pairs, characters of a key and bytes of a value. */
const MAX = { pairs: 64, key: 128, value: 512 };

/**
 * What is wrong with the metadata of a node or service, in Consul's words. @param reserved keys of its own are allowed.
 */
export function metadataFault(meta: Readonly<Record<string, string>>, reserved = false): string | undefined {
  const pairs = Object.entries(meta);
  if (pairs.length > MAX.pairs) return `Node metadata cannot contain more than ${MAX.pairs} key/value pairs`;
  for (const [key, value] of pairs) {
    const start = `Couldn't load metadata pair ('${key}', '${value}'): `;
    if (key === '') return `${start}Key cannot be blank`;
    if (!/^[a-zA-Z0-9_-]+$/.test(key)) return `${start}Key contains invalid characters`;
    if (key.length > MAX.key) return `${start}Key is too long (limit: ${MAX.key} characters)`;
    if (!reserved && key.startsWith('consul-') && key !== 'consul-network-segment')
      return `${start}Key prefix 'consul-' is reserved for internal use`;
    if (Buffer.byteLength(value) > MAX.value) return `${start}Value is too long (limit: ${MAX.value} characters)`;
  }
  return undefined;
}
