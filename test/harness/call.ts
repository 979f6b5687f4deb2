import type { AgentProcess } from './agent.ts';
import type { HttpBody } from './http.ts';

/** A request to an agent that must be answered with 200; resolves with the JSON of the answer. */
export async function callAgent<T = unknown>(
  agent: Pick<AgentProcess, 'http' | 'name'>,
  method: string,
  path: string,
  body?: HttpBody,
): Promise<T> {
  const answer = await agent.http(method, path, body);
  if (answer.status !== 200) throw new Error(`${agent.name}: ${method} ${path}: ${answer.status} ${answer.body}`);
  return (answer.body === '' ? undefined : answer.json()) as T;
}
