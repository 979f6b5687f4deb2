/**
 * How a domain offers something to be read: what it depends on, and how it is made from the tables. The server turns
 * one definition into a plain read, a blocking query and a watch.
 */
export interface Read<Args, Value> {
  /** Topics whose touch may change the answer. Cheap: called for every request. */
  topics(args: Args): readonly string[];
  /** The answer now. May throw an IsthmusError. Must not change what it returned before. */
  produce(args: Args): Value;
  /** False: the answer is made anew for each who asks. What is kept of others is bounded in number, not in size. */
  readonly keep?: false;
}
