export type { CaRoots, RotationStatus } from '../src/model/ca.ts';
export type { Explanation } from '../src/model/intention.ts';
export type { QueryExecution, QueryForecast, QueryOutcome } from '../src/model/prepared-query.ts';
export type { CaStatus } from '../src/model/requests.ts';
