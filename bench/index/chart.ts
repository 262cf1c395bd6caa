/**
 * The bench's ratios as an SVG that is readable on a light and on a dark page.
 *
 * @module
 */

import { aimText, passes, type Row, valueText } from "./row.ts";

const WIDTH = 1060, LABEL = 580, RIGHT = 190, ROW = 22, TOP = 64;
/** Bars end here: so many times the aim. */
const MOST = 3;

/** One bar a row that has an aim: how far beyond it, or short of it. */
export function svgChart(rows: readonly Row[], caption: string): string {
  const shown = rows.filter(({ aim }) => aim !== undefined);
  const height = TOP + ROW * shown.length + 40;
  const room = WIDTH - LABEL - RIGHT;
  const aimX = LABEL + room / MOST;
  const bars = shown.map((row, i) => {
    const y = TOP + ROW * i, reached = Math.min(MOST, shareOfAim(row));
    const width = Math.max(2, room * reached / MOST);
    const kind = passes(row) ? "pass" : "miss";
    // What does not fit is cut off, and looks so.
    const cut = shareOfAim(row) > MOST
      ? `<path class="cut" d="M${LABEL + room - 12} ${y + 17}l5 -16"/>`
      : "";
    return `<text class="label" x="${LABEL - 8}" y="${y + 13}">${escape(label(row))}</text>` +
      `<rect class="${kind}" x="${LABEL}" y="${y + 2}" width="${
        width.toFixed(1)
      }" height="14" rx="2"/>` +
      cut +
      `<text x="${LABEL + room + 10}" y="${y + 13}">${escape(valueText(row))}</text>` +
      `<text class="small aims" x="${WIDTH - 12}" y="${y + 13}">${escape(aimText(row))}</text>`;
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" role="img"
  aria-label="What mpackd reaches of each aim">
<style>
  text { font: 11.5px system-ui, sans-serif; fill: #1f2328; }
  .title { font-size: 15px; font-weight: 600; }
  .label { text-anchor: end; }
  .small { font-size: 10.5px; fill: #59636e; }
  .aims { text-anchor: end; }
  .pass { fill: #2da44e; }
  .miss { fill: #d4762c; }
  .aim { stroke: #59636e; stroke-dasharray: 3 3; }
  .cut { stroke: #fff; stroke-width: 3; }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3; }
    .small { fill: #9198a1; }
    .aim { stroke: #9198a1; }
    .cut { stroke: #0d1117; }
  }
</style>
<text class="title" x="12" y="22">mpackd against limits measured in the same run</text>
<text class="small" x="12" y="40">Green bars reach their aim, the dashed line; orange ones do not. Longer is better, whatever the aim.</text>
<line class="aim" x1="${aimX}" x2="${aimX}" y1="${TOP - 4}" y2="${TOP + ROW * shown.length}"/>
<text class="small" x="${aimX}" y="${TOP - 8}" text-anchor="middle">aim</text>
${bars.join("\n")}
<text class="small" x="12" y="${height - 12}">${escape(caption)}</text>
</svg>
`;
}

/** What is compared with what; the figures stay in the table. */
function label({ what, against }: Row): string {
  const other = against.replace(/:?\s[\d,.]+k? (MB|ms|objects).*$/, "");
  return other === "nothing" || other === "" ? what : `${what} : ${other}`;
}

/** 1 where the aim is just reached, more where it is surpassed. */
function shareOfAim({ value, aim }: Row): number {
  if (aim === undefined) return 0;
  if ("atLeast" in aim) return value / aim.atLeast;
  return value <= 0 ? MOST + 1 : aim.atMost / value;
}

function escape(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
}
