/** TTL of a service, by its name, else by the longest beginning of it that was given one with `*`. Milliseconds. */
export function serviceTtls(ttls: Readonly<Record<string, number>>): (service: string) => number {
  const byBeginning = Object.entries(ttls)
    .filter(([pattern]) => pattern.endsWith('*'))
    .map(([pattern, ttl]) => ({ beginning: pattern.slice(0, -1), ttl }))
    .sort((a, b) => b.beginning.length - a.beginning.length);
  return (service) =>
    (Object.hasOwn(ttls, service) ? ttls[service] : undefined) ??
    byBeginning.find(({ beginning }) => service.startsWith(beginning))?.ttl ??
    0;
}
