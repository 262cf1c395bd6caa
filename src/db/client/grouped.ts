/** Most inputs of one statement. */
const MAX_GROUP = 64;
/** A statement that takes longer does not hold back the next one: it may wait for a lock. */
const SLOW_MS = 50;

/** What one asker asks, and where its answer goes. */
interface Asked<In, Out> {
  readonly input: In;
  readonly answer: PromiseWithResolvers<Out>;
}

/**
 * Answers askers that come at the same time by one statement: the first one is sent at once, and all
 * that come before its answer make the next one.
 */
export class Grouped<In, Out> {
  readonly #run: (inputs: readonly In[]) => Promise<readonly Out[]>;
  #waiting: Asked<In, Out>[] = [];
  #isRunning = false;

  /** `run` answers each input at its place. If it fails, each input of the group is tried alone. */
  constructor(run: (inputs: readonly In[]) => Promise<readonly Out[]>) {
    this.#run = run;
  }

  /** Throws what `run` throws. */
  async ask(input: In): Promise<Out> {
    const answer = Promise.withResolvers<Out>();
    this.#waiting.push({ input, answer });
    this.#next();
    return await answer.promise;
  }

  #next(): void {
    if (this.#isRunning || this.#waiting.length === 0) return;
    this.#isRunning = true;
    let isAwaited = true;
    const goOn = () => {
      if (!isAwaited) return;
      isAwaited = false;
      this.#isRunning = false;
      this.#next();
    };
    const timer = setTimeout(goOn, SLOW_MS);
    this.#send(this.#waiting.splice(0, MAX_GROUP)).finally(() => {
      clearTimeout(timer);
      goOn();
    });
  }

  /** Never throws. */
  async #send(group: readonly Asked<In, Out>[]): Promise<void> {
    try {
      const outs = await this.#run(group.map(({ input }) => input));
      for (const [i, { answer }] of group.entries()) answer.resolve(outs[i]);
    } catch (error) {
      if (group.length === 1) return group[0].answer.reject(error);
      // One's values may be the reason.
      for (const one of group) await this.#send([one]);
    }
  }
}
