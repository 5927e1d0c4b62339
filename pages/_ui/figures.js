// The chart's own camera button, once as PNG and once as SVG. Plotly knows one format a chart, so it is set before each.
function camera(name, format, filename) {
  const graph = document.querySelector(`.st-key-${name} .js-plotly-plot`);
  const button = graph?.querySelector('.modebar-btn[data-title^="Download plot"]');
  if (!graph || !button) return false;
  graph._context.toImageButtonOptions = { format, filename, scale: format === "png" ? 3 : 1 };
  button.click();
  return true;
}

export default function ({ data, parentElement }) {
  for (const button of parentElement.querySelectorAll("button")) {
    button.onclick = () => {
      if (!camera(data.chart, button.dataset.format, data.filename)) button.title = "The figure is not drawn yet.";
    };
  }
}
