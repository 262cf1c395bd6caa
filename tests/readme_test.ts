import assert from "node:assert/strict";
import { settingsTable } from "../src/cli/commands/config.ts";

const README = new URL("../README.md", import.meta.url);
const SECTION = /(<!-- settings:[^\n]*-->\n)[^]*?(<!-- \/settings -->)/;

Deno.test("README.md lists every setting as it is", async () => {
  const text = await Deno.readTextFile(README);
  const wanted = text.replace(
    SECTION,
    (_, open, close) => `${open}\n${settingsTable()}\n\n${close}`,
  );
  // MPACKD_UPDATE=1 writes the table instead of comparing it.
  if (Deno.env.get("MPACKD_UPDATE") === "1") await Deno.writeTextFile(README, wanted);
  else assert.equal(squeeze(text), squeeze(wanted));
});

/** Without the padding that `deno fmt` gives tables. */
function squeeze(text: string): string {
  return text.replaceAll(/ +/g, " ").replaceAll(/-{3,}/g, "---");
}
