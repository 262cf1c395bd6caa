/**
 * Metrics with two outputs: Prometheus text, and OpenTelemetry under `OTEL_DENO=true` (otherwise
 * those calls do nothing). prom-client keeps the values for the text, because OpenTelemetry's API
 * cannot be read.
 *
 * @module
 */

import { metrics } from "@opentelemetry/api";
import { Counter, Gauge, Histogram, Registry } from "prom-client";

/** Labels of one value. Use few, with few values each; never ids. */
type Labels = Readonly<Record<string, string>>;

/** Name and meaning of a metric. */
interface MetricOptions<Label extends string> {
  /** Lower case with underscores, without prefix, unit or `_total`. */
  readonly name: string;
  /** One sentence, for the Prometheus text. */
  readonly help: string;
  readonly labels?: readonly Label[];
}

/** Of every metric; it is there only for what a shard did. */
const SHARD = "shard";
type OfShard = { readonly [SHARD]?: string };

function ofShard(shard: string | undefined): OfShard {
  return shard === undefined ? {} : { [SHARD]: shard };
}

/** Values of a gauge at one moment, each with its labels. */
export type Readings = readonly (readonly [value: number, labels: Labels])[];

/** Creates metrics and prints them. */
export class MetricsRegistry {
  readonly #registry = new Registry();
  readonly #otel = metrics.getMeter("mpackd");

  /** Creates a counter; returns the function that adds to it, with the name of a shard if one did it. */
  counter<Label extends string = never>(
    { name, help, labels = [] }: MetricOptions<Label>,
  ): (value: number, labels: Readonly<Record<Label, string>>, shard?: string) => void {
    const registers = [this.#registry];
    const text = new Counter({
      name: `mpackd_${name}_total`,
      help,
      labelNames: [...labels, SHARD],
      registers,
    });
    // A metric with labels has no value before the first; this one is 0 from the start.
    if (labels.length === 0) text.inc({}, 0);
    const otel = this.#otel.createCounter(`mpackd.${name}`, { description: help });
    return (value, given, shard) => {
      const all = { ...given, ...ofShard(shard) };
      text.inc(all, value);
      otel.add(value, all);
    };
  }

  /** Creates a histogram of durations; returns the function that records milliseconds. */
  duration<Label extends string = never>(
    { name, help, labels = [] }: MetricOptions<Label>,
    { buckets }: { readonly buckets: readonly number[] },
  ): (ms: number, labels: Readonly<Record<Label, string>>, shard?: string) => void {
    const text = new Histogram({
      name: `mpackd_${name}_seconds`,
      help,
      labelNames: [...labels, SHARD],
      buckets: [...buckets],
      registers: [this.#registry],
    });
    if (labels.length === 0) text.zero({});
    const otel = this.#otel.createHistogram(`mpackd.${name}`, {
      description: help,
      unit: "s",
      advice: { explicitBucketBoundaries: [...buckets] },
    });
    return (ms, given, shard) => {
      const all = { ...given, ...ofShard(shard) };
      text.observe(all, ms / 1000);
      otel.record(ms / 1000, all);
    };
  }

  /** Creates a gauge, read at each scrape. If `read` throws, it has no value. */
  gauge(
    { name, help, labels = [] }: MetricOptions<string>,
    read: () => Promise<Readings> | Readings,
  ): void {
    new Gauge({
      name: `mpackd_${name}`,
      help,
      labelNames: labels,
      registers: [this.#registry],
      async collect() {
        this.reset();
        for (const [value, given] of await readOrNothing(read)) this.set(given, value);
      },
    });
    this.#otel.createObservableGauge(`mpackd.${name}`, { description: help })
      .addCallback(async (result) => {
        for (const [value, given] of await readOrNothing(read)) result.observe(value, given);
      });
  }

  /** All metrics in Prometheus' text format. */
  text(): Promise<string> {
    return this.#registry.metrics();
  }

  /** The media type of the text. */
  get contentType(): string {
    return this.#registry.contentType;
  }
}

async function readOrNothing(read: () => Promise<Readings> | Readings): Promise<Readings> {
  try {
    return await read();
  } catch {
    return [];
  }
}
