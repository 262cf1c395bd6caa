import assert from "node:assert/strict";
import { Graph } from "../../../src/cli/history/graph_lines.ts";

/** Draws commits given as `id parent parent`, each with its id beside its star. */
function drawn(...commits: string[]): string[] {
  const graph = new Graph();
  return commits.flatMap((text) => {
    const [id, ...parents] = text.split(" ");
    return graph.draw(id, parents).lines.map((line, i) => i === 0 ? `${line}  ${id}` : line);
  });
}

Deno.test("Graph draws lines of history", async (t) => {
  await t.step("one line", () => {
    assert.deepEqual(drawn("c b", "b a", "a"), ["*  c", "*  b", "*  a"]);
  });
  await t.step("a branch that is merged", () => {
    assert.deepEqual(drawn("m b s", "b a", "s a", "a"), [
      "*  m",
      "|\\",
      "* |  b",
      "| *  s",
      "|/",
      "*  a",
    ]);
  });
  await t.step("a merge beside another line, and lines that meet across it", () => {
    assert.deepEqual(drawn("m x y", "x a b", "a r", "b r", "y r", "r"), [
      "*  m",
      "|\\",
      "* |  x",
      "|\\ \\",
      "* | |  a",
      "| * |  b",
      "|/ /",
      "| *  y",
      "|/",
      "*  r",
    ]);
    assert.deepEqual(drawn("m x y", "x a b", "a r", "y r", "b r", "r").slice(4), [
      "* | |  a",
      "| | *  y",
      "|_|/",
      "| *  b",
      "|/",
      "*  r",
    ]);
  });
  await t.step("histories that have nothing in common", () => {
    assert.deepEqual(drawn("m a z", "a", "z"), ["*  m", "|\\", "* |  a", " /", "*  z"]);
  });
  await t.step("a commit that is its own second parent's child twice", () => {
    assert.deepEqual(drawn("m a a", "a"), ["*  m", "*  a"]);
  });
  await t.step("no wider than a screen", () => {
    const graph = new Graph();
    for (let i = 0; i < 100; i++) graph.draw(`tip ${i}`, [`parent ${i}`]);
    assert(graph.draw("parent 50", ["a", "b"]).lines.every((line) => line.length <= 50));
  });
});
