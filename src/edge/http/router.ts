import type { IncomingMessage, ServerResponse } from 'node:http';
import { type FastifyInstance, fastify } from 'fastify';
import type { Answers } from './answers.ts';
import { NO_SCHEMAS } from './no-schemas.ts';
import type { PathEntry } from './table.ts';
import { unknownEndpoint } from './unknown.ts';

export interface RouterDeps {
  readonly table: readonly PathEntry[];
  readonly answers: Answers;
  /** Longest part of a path, bytes. */
  readonly maxParamLength: number;
  readonly serve: (
    entry: PathEntry,
    incoming: IncomingMessage,
    response: ServerResponse,
    params: Readonly<Record<string, string>>,
  ) => void;
}

/** Finds the entry of a path. Bodies are left unread: whoever serves the request takes them, once it may be served. */
export async function createRouter({ table, answers, maxParamLength, serve }: RouterDeps): Promise<FastifyInstance> {
  const app = fastify({
    logger: false,
    exposeHeadRoutes: false,
    schemaController: { compilersFactory: NO_SCHEMAS },
    // Routes parse the query themselves, as Go does.
    routerOptions: { maxParamLength, querystringParser: () => ({}) },
    frameworkErrors: (_error, _request, reply) => {
      reply.hijack();
      answers.send(reply.raw, { status: 400, text: 'Bad Request' });
    },
  });
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('*', (_request, _payload, done) => done(null, undefined));
  app.setNotFoundHandler((request, reply) => {
    reply.hijack();
    answers.send(reply.raw, unknownEndpoint(request.raw.url ?? ''));
  });
  app.setErrorHandler((error: { readonly statusCode?: number; readonly message: string }, _request, reply) => {
    reply.hijack();
    answers.failRouting(reply.raw, error);
  });
  for (const entry of table) {
    app.route({
      method: ['GET', 'HEAD', 'PUT', 'POST', 'DELETE', 'PATCH', 'OPTIONS'],
      url: entry.pattern,
      handler: (request, reply) => {
        reply.hijack();
        serve(entry, request.raw, reply.raw, entry.paramsOf(request.params as Record<string, string>));
      },
    });
  }
  await app.ready();
  return app;
}
