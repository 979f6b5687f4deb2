/** `AccessLogs` of proxy-defaults: what every Envoy writes about connections and requests. */
export interface AccessLogs {
  readonly Enabled?: boolean;
  /** No lines about connections that no filter chain takes. */
  readonly DisableListenerLogs?: boolean;
  readonly Type?: string;
  /** Of the file. */
  readonly Path?: string;
  /** JSON text of an object of Envoy's format strings. */
  readonly JSONFormat?: string;
  readonly TextFormat?: string;
}

export type JsonFormat = { readonly [key: string]: JsonFormatValue };
type JsonFormatValue = string | number | boolean | null | JsonFormat | readonly JsonFormatValue[];

export function jsonFormatOf(text: string): JsonFormat | undefined {
  try {
    const value = JSON.parse(text) as unknown;
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as JsonFormat) : undefined;
  } catch {
    return undefined;
  }
}
