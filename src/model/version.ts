/** This program's version; package.json says the same (a test compares them). */
export const VERSION = '0.1.0';

/**
 * Version of Consul whose API this one speaks. Tools decide by it what they may ask for, so it stands wherever the
 * peer shows its own version; ours is beside it.
 */
export const COMPATIBLE_VERSION = '1.22.0';
