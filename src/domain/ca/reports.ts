import { IsthmusError } from '../../lib/errors.ts';
import type { DatacenterRotation, HolderReport } from '../../model/ca.ts';

/** Roots in one report at most: more than a rotation ever has at a time. */
const MAX_ROOTS = 64;
const MAX_NAME = 255;
const MAX_PENDING = 10_000;

/** Checks a report that came over the network; throws `invalid_argument`. */
export function checkHolderReport(report: HolderReport): HolderReport {
  const good =
    isName(report?.Holder) &&
    isCount(report.Verifiers) &&
    isNames(report.RootIDs, MAX_ROOTS) &&
    isNames(report.Pending, MAX_PENDING) &&
    isCounts(report.LeavesByRoot);
  if (!good) throw new IsthmusError('invalid_argument', 'the report of the holder is malformed');
  return report;
}

/** Checks a report that came from another datacenter; throws `invalid_argument`. */
export function checkDatacenterReport(report: DatacenterRotation): DatacenterRotation {
  const good =
    isName(report?.Datacenter) &&
    isNames(report.RootIDs, MAX_ROOTS) &&
    typeof report.ActiveRootID === 'string' &&
    isCount(report.Holders) &&
    isNames(report.Pending, MAX_PENDING) &&
    isCounts(report.LeavesByRoot) &&
    typeof report.ReportedAt === 'string';
  if (!good) throw new IsthmusError('invalid_argument', 'the report of the datacenter is malformed');
  return report;
}

function isName(value: unknown): value is string {
  return typeof value === 'string' && value !== '' && value.length <= MAX_NAME;
}

function isNames(value: unknown, limit: number): boolean {
  return Array.isArray(value) && value.length <= limit && value.every((item) => typeof item === 'string');
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}

function isCounts(value: unknown): boolean {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false;
  const counts = Object.values(value);
  return counts.length <= MAX_ROOTS && counts.every(isCount);
}
