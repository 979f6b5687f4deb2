/** True when each direct dependency of the checkout `root` is in `modules` (default: its own) in the pinned version. */
export function isInstalled(root: string, modules?: string): boolean;
/** True once the dependencies of the checkout `root` are there. */
export function installDependencies(root?: string): boolean;
