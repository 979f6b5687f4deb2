export type RecordData =
  | { readonly type: 'A' | 'AAAA'; readonly address: string }
  | { readonly type: 'CNAME' | 'NS' | 'PTR'; readonly target: string }
  | {
      readonly type: 'SRV';
      readonly priority: number;
      readonly weight: number;
      readonly port: number;
      readonly target: string;
    }
  | { readonly type: 'TXT'; readonly text: string }
  | {
      readonly type: 'SOA';
      readonly server: string;
      readonly mailbox: string;
      readonly serial: number;
      readonly refresh: number;
      readonly retry: number;
      readonly expire: number;
      readonly minimum: number;
    };

/** Names are without a dot at the end. */
export interface DnsRecord {
  /** Absent for the name that was asked, which is written as the asker wrote it. */
  readonly name?: string;
  /** Seconds. */
  readonly ttl: number;
  readonly data: RecordData;
  /** What belongs to it in the additional section. */
  readonly extra?: readonly DnsRecord[];
}

export const RCODE = { noError: 0, formatError: 1, serverFailure: 2, nxDomain: 3, notImplemented: 4, refused: 5 };

export interface Question {
  /** As asked, without a dot at the end. */
  readonly name: string;
  /** 'A', 'SRV', 'ANY' and so on. */
  readonly type: string;
  /** Answers that may find room in the reply; names that lead to them do not count. */
  readonly limit: number;
  /** IP address of who asks. */
  readonly source?: string;
}

/** What is to be said to a question. */
export interface Reply {
  readonly rcode: number;
  readonly authoritative: boolean;
  readonly answers: readonly DnsRecord[];
  /** There are more answers than the question's limit. */
  readonly more?: boolean;
  /** Answers that are left out are asked for again over TCP, whatever is configured. */
  readonly truncatable?: boolean;
  readonly authorities?: readonly DnsRecord[];
  readonly additionals?: readonly DnsRecord[];
}
