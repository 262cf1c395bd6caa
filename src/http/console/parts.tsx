/** @jsxImportSource hono/jsx */
/**
 * The parts that pages are made of.
 *
 * @module
 */

import type { Child } from "hono/jsx";
import type { JobRow } from "../../jobs/queue/job.ts";
import { grouped } from "../../lib/numbers.ts";

const UNITS = ["B", "kB", "MB", "GB", "TB"];
const CHART = { width: 240, height: 48 };

/** `1.2 GB`: decimal units, as disks and networks count. */
export function bytesText(sizeBytes: number): string {
  let power = 0;
  for (; sizeBytes >= 1000 && power < UNITS.length - 1; power++) sizeBytes /= 1000;
  return `${power === 0 ? sizeBytes : sizeBytes.toFixed(sizeBytes < 10 ? 2 : 1)} ${UNITS[power]}`;
}

/** `5 s`, `3 min`, `2 h`, `4 d`. */
export function durationText(ms: number): string {
  const seconds = Math.max(0, ms) / 1000;
  if (seconds < 1) return `${Math.round(Math.max(0, ms))} ms`;
  if (seconds < 120) return `${Math.round(seconds)} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172_800) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86_400)} d`;
}

/** A time as its age; the exact time is its title. */
export function Time({ at }: { readonly at: Date | null }) {
  if (at === null) return <>–</>;
  const iso = at.toISOString(), ageMs = Date.now() - at.getTime();
  return (
    <time datetime={iso} title={iso}>
      {ageMs >= 0 ? `${durationText(ageMs)} ago` : `in ${durationText(-ageMs)}`}
    </time>
  );
}

/** The status of a job as a word with a colour. */
export function Status({ status }: { readonly status: string }) {
  return <span class={`status ${/^[a-z]+$/.test(status) ? status : ""}`}>{status}</span>;
}

/** An id, cut to fit; the whole of it is its title. */
export function Id({ id, href }: { readonly id: string; readonly href?: string }) {
  const bare = id.replace(/^sha256:/, ""), text = bare.length > 14 ? bare.slice(0, 12) : bare;
  const code = <code title={id}>{text}</code>;
  return href === undefined ? code : <a href={href}>{code}</a>;
}

/** The link to a job. */
export function jobHref(jobId: string): string {
  return `/ui/jobs/${encodeURIComponent(jobId)}`;
}

/** The key of the pack that a job is about; undefined if it names none. */
export function mpackKeyOf({ payload }: Pick<JobRow, "payload">): string | undefined {
  const key = payload?.mpack_key;
  return typeof key === "string" ? key.slice(0, 200) : undefined;
}

/** A table that scrolls sideways on a narrow screen. */
export function Table(
  { label, heads, children }: {
    readonly label: string;
    readonly heads: readonly Child[];
    readonly children?: Child;
  },
) {
  return (
    <div class="scroll" tabindex={0} role="region" aria-label={label}>
      <table>
        <thead>
          <tr>{heads.map((head) => <th scope="col">{head}</th>)}</tr>
        </thead>
        <tbody>{children}</tbody>
      </table>
    </div>
  );
}

/** Terms and what they are. */
export function Facts({ facts }: { readonly facts: readonly (readonly [string, Child])[] }) {
  return (
    <dl class="facts">
      {facts.map(([term, what]) => (
        <div>
          <dt>{term}</dt>
          <dd>{what}</dd>
        </div>
      ))}
    </dl>
  );
}

/** A number that stands out. */
export function Figure(
  { name, children, href, tone }: {
    readonly name: string;
    readonly children?: Child;
    readonly href?: string;
    readonly tone?: "bad" | "good";
  },
) {
  const inside = (
    <>
      <span class="name">{name}</span>
      <strong>{children}</strong>
    </>
  );
  const kind = `figure ${tone ?? ""}`;
  return href === undefined
    ? <div class={kind}>{inside}</div>
    : <a class={kind} href={href}>{inside}</a>;
}

/** Bars over time, drawn on the server. */
export function Chart(
  { name, values, total }: {
    readonly name: string;
    readonly values: readonly number[];
    /** The sum, as text. */
    readonly total: string;
  },
) {
  const most = Math.max(1, ...values), step = CHART.width / Math.max(1, values.length);
  return (
    <figure class="chart">
      <figcaption>
        {name} <strong>{total}</strong>
      </figcaption>
      <svg
        viewBox={`0 0 ${CHART.width} ${CHART.height}`}
        preserveAspectRatio="none"
        role="img"
        aria-label={`${name} in each minute of the last hour: ${total} in all`}
      >
        {values.map((value, i) => {
          const height = value === 0 ? 0 : Math.max(1, value / most * (CHART.height - 2));
          return (
            <rect
              x={(i * step).toFixed(1)}
              y={(CHART.height - height).toFixed(1)}
              width={(step * 0.8).toFixed(1)}
              height={height.toFixed(1)}
            />
          );
        })}
        <line x1="0" y1={CHART.height} x2={CHART.width} y2={CHART.height} />
      </svg>
    </figure>
  );
}

/** One bar that shows parts of a whole. */
export function Bar(
  { parts }: { readonly parts: readonly { name: string; value: number; text: string }[] },
) {
  const whole = Math.max(1, parts.reduce((sum, { value }) => sum + value, 0));
  let at = 0;
  return (
    <figure class="bar">
      <svg viewBox="0 0 100 4" preserveAspectRatio="none" role="img" aria-label="Phases">
        {parts.map(({ value }, i) => {
          const width = 100 * value / whole, x = at;
          at += width;
          return (
            <rect
              class={`part${i % 4}`}
              x={x.toFixed(2)}
              y="0"
              width={width.toFixed(2)}
              height="4"
            />
          );
        })}
      </svg>
      <figcaption>
        {parts.map(({ name, text }, i) => (
          <span>
            <i class={`key part${i % 4}`}></i>
            {name} {text}
          </span>
        ))}
      </figcaption>
    </figure>
  );
}

/** `12,345`. */
export const count = grouped;

/** Says that a list is not whole. */
export function Unreachable({ shards }: { readonly shards: readonly string[] }) {
  if (shards.length === 0) return null;
  return (
    <p class="problem" role="status">
      {`Without ${shards.join(", ")}: no answer. What is there is not shown.`}
    </p>
  );
}
