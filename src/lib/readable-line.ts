const BUILT_IN = new Set(['level', 'time', 'node', 'sidecar', 'component', 'msg']);

/** A line of the log for a person: `2026-01-01T00:00:00.000Z [INFO]  agent: services registered: count=3`. */
export function readableLine(json: string): string {
  let fields: Record<string, unknown>;
  try {
    fields = JSON.parse(json) as Record<string, unknown>;
  } catch {
    return json; // no line of the logger
  }
  const { level, time, component, msg } = fields;
  const rest = Object.entries(fields)
    .filter(([name]) => !BUILT_IN.has(name))
    .map(([name, value]) => `${name}=${shown(value)}`);
  const tag = `[${String(level).toUpperCase()}]`.padEnd(7);
  const about = typeof component === 'string' ? `${component}: ` : '';
  return `${time} ${tag} ${about}${visible(String(msg))}${rest.length === 0 ? '' : `: ${rest.join(' ')}`}\n`;
}

function shown(value: unknown): string {
  if (typeof value === 'string' && /^[\w.:/@+-]+$/.test(value)) return value;
  return visible(JSON.stringify(value));
}

/** Without control characters: untrusted input must not move the cursor of a terminal that shows the log. */
function visible(text: string): string {
  return text.replaceAll(/\p{Cc}/gu, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`);
}
