import { IsthmusError } from '../../../lib/errors.ts';
import { CA_PROVIDERS, type CaProviderName } from '../../../model/ca-providers.ts';
import { createBuiltinProvider } from './builtin.ts';
import type { CaProvider, CaProviderFactory, ProviderDeps } from './provider.ts';

/**
 * Every CA provider that there is. A new one: its name in `model/ca-providers.ts`, a file here, and a line in this
 * table.
 */
const FACTORIES: Readonly<Record<CaProviderName, CaProviderFactory>> = {
  consul: createBuiltinProvider,
};

/** The providers of one process, made with what they need. */
export class CaProviders {
  readonly #providers: ReadonlyMap<string, CaProvider>;
  readonly #started: CaProvider[] = [];

  /** @param factories others than those that there are, in tests */
  constructor(deps: ProviderDeps, factories: Readonly<Record<CaProviderName, CaProviderFactory>> = FACTORIES) {
    this.#providers = new Map(CA_PROVIDERS.map((name) => [name, factories[name](deps)]));
  }

  /** Throws Consul's text for names that no provider has. */
  find(name: string): CaProvider {
    const provider = this.#providers.get(name);
    if (provider === undefined)
      throw new IsthmusError('rejected', `could not initialize provider: unknown CA provider ${JSON.stringify(name)}`);
    return provider;
  }

  /** Why that provider can't do its work now; '' when it can, or when there is none of the name. */
  problem(name: string): string {
    return this.#providers.get(name)?.problem?.() ?? '';
  }

  /** All, one after the other. When one fails, those before it are stopped. */
  async start(signal: AbortSignal): Promise<void> {
    try {
      for (const provider of this.#providers.values()) {
        await provider.start?.(signal);
        this.#started.push(provider);
      }
    } catch (error) {
      await this.stop();
      throw error;
    }
  }

  /** In the reverse order. */
  async stop(): Promise<void> {
    for (const provider of this.#started.splice(0).reverse()) await provider.stop?.();
  }
}
