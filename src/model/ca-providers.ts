/**
 * The CA providers that there are, by the name that `connect.ca_provider` and the API give them. A new one has its name
 * here, a file in `domain/ca/providers/`, and its line in the table of `domain/ca/providers/providers.ts`.
 */
export const CA_PROVIDERS = ['consul'] as const;

export type CaProviderName = (typeof CA_PROVIDERS)[number];
