/** A service or a check, in the shape that the API takes. */
export type Definition = Readonly<Record<string, unknown>>;

/** A definition, and where it stands: `c.hcl:7`. */
export interface PlacedDefinition {
  readonly definition: Definition;
  readonly at: string;
}
