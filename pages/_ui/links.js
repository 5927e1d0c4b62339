// A plain click on a link of ours becomes a step in the history; Streamlit then draws what the address says, as it does
// for the back button.
export default function () {
  const onClick = (event) => {
    if (event.button || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
    const link = event.composedPath().find((node) => node.matches?.("a[data-inside]"));
    if (!link) return;
    event.preventDefault();
    history.pushState({}, "", link.href);
    window.dispatchEvent(new PopStateEvent("popstate", { state: {} }));
  };
  document.addEventListener("click", onClick);
  return () => document.removeEventListener("click", onClick);
}
