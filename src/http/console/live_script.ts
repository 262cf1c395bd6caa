/**
 * The console's only script: shows news of an open page. Every page works without it.
 *
 * A page that the browser keeps for its back button must let go of its connection: there are six.
 *
 * It leaves the page alone while somebody is at a field or button, has chosen jobs, or marked text.
 */
export const LIVE_SCRIPT = `
const main = document.querySelector("main[data-live]");
if (main) {
  const isBusy = () => {
    const { activeElement } = document, selection = getSelection();
    return main.contains(activeElement) && /^(INPUT|SELECT|BUTTON)$/.test(activeElement.tagName) ||
      main.querySelector("input:checked") !== null || selection && !selection.isCollapsed;
  };
  const path = location.pathname + location.search;
  let events;
  const watch = () => {
    events = new EventSource("/ui/live?path=" + encodeURIComponent(path));
    events.addEventListener("main", ({ data }) => {
      if (isBusy()) return;
      const focused = document.activeElement?.getAttribute("href");
      main.innerHTML = JSON.parse(data);
      if (focused) {
        [...main.querySelectorAll("a")].find((link) => link.getAttribute("href") === focused)
          ?.focus();
      }
    });
    events.addEventListener("end", () => events.close());
  };
  watch();
  addEventListener("pagehide", () => events.close());
  addEventListener("pageshow", ({ persisted }) => persisted && watch());
}
const all = document.querySelector("input[data-all]");
all?.addEventListener("change", () => {
  for (const box of document.querySelectorAll("input[name=job]")) box.checked = all.checked;
});
`;
