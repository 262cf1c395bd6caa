/** @jsxImportSource hono/jsx */
import { SETTINGS } from "../../../config/config.ts";
import { HttpProblem } from "../../problem.ts";
import type { PageMaker } from "../page.ts";
import { Table } from "../parts.tsx";

/** Every setting, its value, and whether it was set. Secrets never. */
export const settings: PageMaker = ({ caller, context: { config } }) => {
  if (!caller.isAdmin) throw new HttpProblem(404, "not-found", "Cannot find such a page");
  const values = config as unknown as Readonly<Record<string, unknown>>;
  return Promise.resolve({
    title: "Settings",
    body: (
      <>
        <h1>Settings of this server</h1>
        <Table label="Settings" heads={["Setting", "Value", "From", "What it does"]}>
          {Object.entries(SETTINGS).map(([name, setting]) => {
            const value = values[name], isDefault = value === setting.fallback;
            return (
              <tr>
                <td>
                  <code>{setting.env}</code>
                </td>
                <td>{valueText(value, setting)}</td>
                <td>{isDefault ? "default" : "environment"}</td>
                <td>{setting.doc}</td>
              </tr>
            );
          })}
        </Table>
      </>
    ),
  });
};

function valueText(
  value: unknown,
  { isSecret, unit }: { readonly isSecret: boolean; readonly unit: string },
): string {
  if (value === undefined) return "not set";
  if (isSecret) return "set, not shown";
  return typeof value === "number" ? `${value} ${unit}` : String(value);
}
