// A plain click on a link of ours becomes a step in the history; Streamlit then draws what the address says, as it does
// for the back button.
const KEPT = "unitscope-address";

function go(address, step) {
  history[step]({}, "", address);
  window.dispatchEvent(new PopStateEvent("popstate", { state: {} }));
}

export default function ({ data }) {
  if (data.remember) {
    sessionStorage.setItem(KEPT, location.href);
    return undefined;
  }
  const kept = sessionStorage.getItem(KEPT);
  sessionStorage.removeItem(KEPT);
  if (kept && kept !== location.href) go(kept, "replaceState");
  const onClick = (event) => {
    if (event.button || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
    const link = event.composedPath().find((node) => node.matches?.("a[data-inside]"));
    if (!link) return;
    event.preventDefault();
    go(link.href, "pushState");
  };
  document.addEventListener("click", onClick);
  return () => document.removeEventListener("click", onClick);
}
