import type { Clock } from '../lib/clock.ts';
import { newUuid } from '../lib/ids.ts';
import { RotatingFile } from './rotating-file.ts';
import type { Audit, AuditRecord, Logger, Metrics } from './types.ts';

/** A file that audit records go to. */
export interface AuditSinkOptions {
  readonly name: string;
  readonly path: string;
  readonly mode: number;
  readonly rotateBytes: number;
  readonly rotateMs: number;
  readonly rotateMaxFiles: number;
}

export interface AuditDeps {
  readonly sinks: readonly AuditSinkOptions[];
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Metrics;
}

export interface AuditLog extends Audit {
  close(): void;
}

interface Sink {
  readonly options: AuditSinkOptions;
  readonly file: RotatingFile;
  failing: boolean;
}

/**
 * Who changed what, as JSON lines in the shape of Consul's audit log. A record that can't be written is counted and
 * logged once; the request that it is about goes on.
 */
export function createAudit({ sinks, clock, log, metrics }: AuditDeps): AuditLog {
  const records = metrics.counter({
    name: 'isthmus_audit_records_total',
    help: 'Changes put on record, by verdict',
    labels: ['verdict'],
  });
  const failures = metrics.counter({
    name: 'isthmus_audit_failures_total',
    help: 'Audit records that could not be written',
    labels: ['sink'],
  });
  const open = sinks.map(
    (options): Sink => ({
      options,
      file: new RotatingFile({
        path: options.path,
        mode: options.mode,
        maxBytes: options.rotateBytes,
        maxAgeMs: options.rotateMs,
        maxFiles: options.rotateMaxFiles,
        clock,
      }),
      failing: false,
    }),
  );
  const write = (sink: Sink, line: string): void => {
    const { name, path } = sink.options;
    try {
      sink.file.write(line);
      if (sink.failing) log.info('the audit log is written again', { sink: name, path });
      sink.failing = false;
    } catch (error) {
      failures.add(1, { sink: name });
      if (!sink.failing)
        log.error('the audit log cannot be written: changes go on without a record', { sink: name, path, error });
      sink.failing = true;
    }
  };
  return {
    record(record) {
      if (open.length === 0) return;
      records.add(1, { verdict: record.verdict });
      const line = `${JSON.stringify(toLine(record, new Date(clock.now()).toISOString()))}\n`;
      for (const sink of open) write(sink, line);
    },
    close() {
      for (const { file } of open) file.close();
    },
  };
}

/** As Consul's events, with a verdict. */
function toLine(record: AuditRecord, time: string): unknown {
  const { kind, accessor, operation, endpoint, target, remote, datacenter, node, status, verdict, error } = record;
  return {
    created_at: time,
    event_type: 'audit',
    payload: {
      id: newUuid(),
      version: '1',
      type: kind === 'http' ? 'HTTPEvent' : 'RPCEvent',
      timestamp: time,
      auth: { accessor_id: accessor },
      request: {
        operation,
        endpoint,
        ...(target === undefined ? {} : { target }),
        remote_addr: remote,
        datacenter,
        node,
      },
      response: { status, verdict, ...(error === undefined ? {} : { error }) },
      stage: 'OperationComplete',
    },
  };
}
