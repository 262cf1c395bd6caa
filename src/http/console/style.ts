/** The console's style sheet. It fits a phone, and light and dark. */
export const STYLE = `
:root {
  color-scheme: light dark;
  --back: #fbfbfa; --card: #fff; --line: #dcdcd8; --text: #1d1f21; --soft: #5b6066;
  --link: #0b57a8; --bad: #a61b1b; --good: #17663a; --busy: #7a4a00; --bar: #3b78b8;
  --p0: #3b78b8; --p1: #b0702a; --p2: #4a8a52; --p3: #8a5aa8;
}
@media (prefers-color-scheme: dark) {
  :root {
    --back: #16181a; --card: #1e2124; --line: #34383c; --text: #e8e8e6; --soft: #a4aab0;
    --link: #7ab5f2; --bad: #ff8f8f; --good: #7bd49b; --busy: #f0bd6d; --bar: #5b9bd9;
    --p0: #5b9bd9; --p1: #d99a55; --p2: #74b97d; --p3: #b48ad0;
  }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--back); color: var(--text);
  font: 15px/1.5 system-ui, sans-serif; }
a { color: var(--link); }
a:focus-visible, button:focus-visible, input:focus-visible, select:focus-visible,
[tabindex]:focus-visible { outline: 3px solid var(--link); outline-offset: 2px; }
.skip { position: absolute; left: -999px; }
.skip:focus { left: 8px; top: 8px; background: var(--card); padding: 8px; z-index: 1; }
header { border-bottom: 1px solid var(--line); background: var(--card); }
header nav { max-width: 1200px; margin: 0 auto; padding: 0 16px; display: flex; flex-wrap: wrap;
  gap: 4px 16px; align-items: center; min-height: 48px; }
header nav a { text-decoration: none; padding: 4px 0; border-bottom: 2px solid transparent; }
header nav a[aria-current] { border-color: var(--link); color: var(--text); }
header .brand { font-weight: 700; color: var(--text); }
header form { margin-left: auto; display: flex; gap: 8px; align-items: center; }
main { max-width: 1200px; margin: 0 auto; padding: 16px; }
h1 { font-size: 22px; margin: 8px 0 16px; overflow-wrap: anywhere; }
h2 { font-size: 17px; margin: 28px 0 8px; }
code, pre { font: 13px/1.45 ui-monospace, monospace; }
pre { background: var(--card); border: 1px solid var(--line); padding: 12px; overflow: auto;
  border-radius: 6px; max-height: 420px; }
.figures, .charts { display: grid; gap: 12px;
  grid-template-columns: repeat(auto-fit, minmax(170px, 1fr)); }
.charts { grid-template-columns: repeat(auto-fit, minmax(240px, 1fr)); margin-top: 12px; }
.figure, .chart { background: var(--card); border: 1px solid var(--line); border-radius: 8px;
  padding: 12px; margin: 0; display: block; text-decoration: none; color: inherit; }
.figure .name, figcaption { display: block; color: var(--soft); font-size: 13px; }
.figure strong { font-size: 24px; font-weight: 600; }
.figure.bad strong { color: var(--bad); } .figure.good strong { color: var(--good); }
.chart svg { width: 100%; height: 48px; } .chart rect { fill: var(--bar); }
.chart line { stroke: var(--line); } figcaption strong { color: var(--text); }
.bar { margin: 0; } .bar svg { width: 100%; height: 14px; border-radius: 4px; }
.bar figcaption { display: flex; flex-wrap: wrap; gap: 4px 16px; }
.key { display: inline-block; width: 10px; height: 10px; margin-right: 5px; border-radius: 2px; }
.part0 { fill: var(--p0); background: var(--p0); } .part1 { fill: var(--p1); background: var(--p1); }
.part2 { fill: var(--p2); background: var(--p2); } .part3 { fill: var(--p3); background: var(--p3); }
.scroll { overflow-x: auto; background: var(--card); border: 1px solid var(--line);
  border-radius: 8px; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: 7px 12px; border-bottom: 1px solid var(--line);
  vertical-align: top; }
th { color: var(--soft); font-weight: 500; font-size: 13px; white-space: nowrap; }
tbody tr:last-child td { border-bottom: 0; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; }
td time, td .status { white-space: nowrap; }
td.long { overflow-wrap: anywhere; min-width: 12em; }
.status { font-weight: 600; }
.status.failed, .status.lost, .status.FAILURE { color: var(--bad); }
.status.done, .status.ok { color: var(--good); }
.status.running, .status.retrying, .status.warning { color: var(--busy); }
.facts { display: grid; grid-template-columns: repeat(auto-fill, minmax(260px, 1fr)); gap: 8px 24px;
  margin: 0 0 12px; }
.facts dt { color: var(--soft); font-size: 13px; } .facts dd { margin: 0; overflow-wrap: anywhere; }
.problem { border-left: 4px solid var(--bad); background: var(--card); padding: 10px 14px;
  margin: 12px 0; overflow-wrap: anywhere; }
.note { border-left: 4px solid var(--good); background: var(--card); padding: 10px 14px;
  margin: 12px 0; }
form.filter { display: flex; flex-wrap: wrap; gap: 8px 12px; align-items: end; margin-bottom: 12px; }
form.filter label { display: block; font-size: 13px; color: var(--soft); }
input, select, button { font: inherit; padding: 6px 10px; border: 1px solid var(--line);
  border-radius: 6px; background: var(--card); color: var(--text); min-height: 36px; }
input.wide { width: 100%; max-width: 640px; }
fieldset { border: 1px solid var(--line); border-radius: 6px; }
label.choice { display: block; padding: 4px 0; }
input[type="checkbox"] { min-height: 0; width: 18px; height: 18px; }
button { cursor: pointer; font-weight: 600; }
button.bad { border-color: var(--bad); color: var(--bad); }
.actions { display: flex; flex-wrap: wrap; gap: 8px; margin: 12px 0; align-items: center; }
.login { max-width: 460px; margin: 8vh auto; } .login input { width: 100%; margin: 6px 0 12px; }
.soft { color: var(--soft); } .pages { margin: 12px 0; display: flex; gap: 16px; }
`;
