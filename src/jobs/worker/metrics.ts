/**
 * Instruments that are declared once and read twice: as Prometheus text, and by whatever
 * OpenTelemetry exports to (`OTEL_DENO=true`; without it those calls do nothing).
 *
 * prom-client keeps the numbers for the text, because OpenTelemetry's API can only be written to.
 *
 * @module
 */

import { metrics } from "@opentelemetry/api";
import { Counter, Gauge, Histogram, Registry } from "prom-client";

/** Labels of one value; few and from small sets, never ids. */
export type Labels = Readonly<Record<string, string>>;

/** How an instrument is called and what it means. */
export interface Instrument<Label extends string> {
  /** In lower case with underscores, without prefix, unit or `_total`. */
  readonly name: string;
  /** One sentence. */
  readonly help: string;
  /** Names of its labels. */
  readonly labels?: readonly Label[];
}

/** Values of a gauge at one moment, each with its labels. */
export type Readings = readonly (readonly [value: number, labels: Labels])[];

/** Makes instruments and prints them. */
export class Meter {
  readonly #registry = new Registry();
  readonly #otel = metrics.getMeter("mpackd");

  /** A sum that only grows; returns the function that adds to it. */
  counter<Label extends string = never>(
    { name, help, labels = [] }: Instrument<Label>,
  ): (value: number, labels: Readonly<Record<Label, string>>) => void {
    const registers = [this.#registry];
    const text = new Counter({ name: `mpackd_${name}_total`, help, labelNames: labels, registers });
    const otel = this.#otel.createCounter(`mpackd.${name}`, { description: help });
    return (value, given) => {
      text.inc({ ...given }, value);
      otel.add(value, given);
    };
  }

  /** A distribution of durations; returns the function that takes one, in milliseconds. */
  duration<Label extends string = never>(
    { name, help, labels = [] }: Instrument<Label>,
    { buckets }: { readonly buckets: readonly number[] },
  ): (ms: number, labels: Readonly<Record<Label, string>>) => void {
    const text = new Histogram({
      name: `mpackd_${name}_seconds`,
      help,
      labelNames: labels,
      buckets: [...buckets],
      registers: [this.#registry],
    });
    const otel = this.#otel.createHistogram(`mpackd.${name}`, {
      description: help,
      unit: "s",
      advice: { explicitBucketBoundaries: [...buckets] },
    });
    return (ms, given) => {
      text.observe({ ...given }, ms / 1000);
      otel.record(ms / 1000, given);
    };
  }

  /** Values that are read when somebody asks; what cannot be read then is left out. */
  gauge(
    { name, help, labels = [] }: Instrument<string>,
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

  /** Every instrument in Prometheus' text format. */
  text(): Promise<string> {
    return this.#registry.metrics();
  }

  /** The media type of that text. */
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
