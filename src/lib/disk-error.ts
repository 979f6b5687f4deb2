/** What a failing disk says, by the number and the name of the error (Linux), in words for an operator. */
const WORDS: readonly (readonly [number: number, name: string, text: string])[] = [
  [28, 'ENOSPC', 'no space left on the disk'],
  [122, 'EDQUOT', 'the disk quota is used up'],
  [27, 'EFBIG', 'the file may not grow further (limit of file sizes)'],
  [30, 'EROFS', 'the file system is read-only'],
  [5, 'EIO', 'the disk fails or is full (input/output error)'], // LMDB says so too of a page that went in in part
];

/** What is wrong with the disk, when it is that; `error` is one of Node's or of LMDB's. */
export function diskReason(error: unknown): string | undefined {
  // Node has no name for EDQUOT: its code is then "Unknown system error -122".
  const { code, errno } = (error ?? {}) as { readonly code?: unknown; readonly errno?: unknown };
  return WORDS.find(([number, name]) => code === number || code === name || errno === -number)?.[2];
}
