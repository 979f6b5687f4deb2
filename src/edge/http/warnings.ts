import type { ApiResponse } from './route.ts';

/** What was asked for and is not done, for people with plain clients. */
const WARNING_HEADER = 'X-Isthmus-Warning';

export function withWarnings(answer: ApiResponse, warnings: readonly string[]): ApiResponse {
  if (warnings.length === 0) return answer;
  return { ...answer, headers: { ...answer.headers, [WARNING_HEADER]: warnings.join('; ') } };
}
